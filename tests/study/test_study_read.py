import re

import pytest
import tomllib

from neurn import study
from neurn.study import settings
from neurn.study.command import template
from neurn.study.read import line_of

pytest.importorskip("pydantic")

SIMULATED = '[recordings]\nsource = "simulated"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("title = 3", "s.toml, line 1: title must be a text, got 3"),
        ("", "s.toml: there is nothing to do: give"),
        ("\n[recordings]\n", "s.toml, line 2: recordings.source is missing; give 'files' or 's"),
        (
            '[recordings]\nsource = "mouse"',
            "s.toml, line 1: recordings.source must be 'simulated' or 'files', got 'mouse'",
        ),
        (
            SIMULATED + 'areas = ["VISp",\n  "V1"]',
            "s.toml, line 3: recordings.areas must be 'VISp', 'VISl', 'VISal', 'VISpm', 'VISrl' or "
            "'VISam', got 'V1'",
        ),
        (
            SIMULATED + "\nneuron = 3",
            "s.toml, line 4: [recordings] has no key 'neuron'; allowed: areas, cre_lines, neurons, "
            "noise, repetitions, source; did you mean 'neurons'?",
        ),
        (
            SIMULATED + "neurons = 'many'",
            "line 3: recordings.neurons must be a whole number, got '",
        ),
        (SIMULATED + "neurons = 1.5", "recordings.neurons must be a whole number, got 1.5"),
        (SIMULATED + "repetitions = 1", "recordings.repetitions must be from 4 to 1000, got 1"),
        (SIMULATED + "noise = -1", "recordings.noise must be at least 0, got -1"),
        (SIMULATED + "noise = inf", "recordings.noise must be a number that is finite, got inf"),
        (SIMULATED + "areas = []", "recordings.areas must be a list that is not empty, got []"),
        (SIMULATED + "neurons = true", "recordings.neurons must be a whole number, got True"),
        ("[recordings]\nsource = 3", "recordings.source must be 'simulated' or 'files', got 3"),
        ('[recordings]\nsource = "files"', "line 1: recordings.files is missing"),
        (
            '[recordings]\nsource = "files"\nneurons = 3\nfiles = ["x"]',
            "line 3: [recordings] has no key 'neurons'; allowed: areas, cre_lines, files, source",
        ),
        (
            SIMULATED + 'areas = ["VISp", "VISp"]',
            "recordings.areas: each may be given once, got 'V",
        ),
        ("[recordngs]", "line 1: there is no table or key 'recordngs'; allowed: architectures, "),
        ("recordings = 5", "s.toml, line 1: recordings must be a"),
        ("[selection]", "s.toml: [selection] needs a table [recordings]"),
        (SIMULATED + "[selection]", "s.toml: [selection] needs a table [representations]"),
        (
            "[run]\nmemory = '4 bananas'",
            "line 2: run.memory: give a number of bytes or a text such",
        ),
        ("[run]\nmemory = 5", "line 2: run.memory must be at least 100 MB, got 5"),
        (
            "[architectures]\nmodels = 'all'",
            "line 2: architectures.models must be 'published' or a list of names of the zoo, each "
            "once, got 'all'",
        ),
        ("[architectures]\nmodels = ['A', 'A']", "of names of the zoo, each once, got ['A', 'A']"),
        ("[architectures]\nzoom = [1]", "line 2: architectures.zoom must be a text, got 1"),
        ("[generalization]\nsource = ''", "generalization.source must be a text that is not emp"),
        ("[generalization]\nlearning_rate = 0", "learning_rate must be more than 0, got 0"),
        (
            "[architectures]\noddities = true\nvocabulary = 'fine'",
            "line 1: architectures: oddities: only with models = 'published', vocabulary = 'publ",
        ),
        (
            SIMULATED + "[representations]\nsize = 'big'",
            "line 4: representations.size must be a whole number from 2 to 224, or a list of two, "
            "got 'big'",
        ),
        (SIMULATED + "[representations]\nsize = [3]", "or a list of two, got [3]"),
        ("a = [1\nb = 2", "s.toml, line 2: is not TOML: "),
        ("a = [1", "s.toml, at its end: is not TOML: "),
        (
            "[architectures]\n[cluster]\nkind = 'slurm'\nwalltime = 'long'",
            "line 4: cluster.walltime must be written like '04:00:00' or '2-00:00:00', got 'long'",
        ),
        (
            "[architectures]\n[cluster]\nkind = 'scheduler'",
            "line 2: cluster: address: must be given with kind = 'scheduler', and only then",
        ),
    ],
)
def test_errors_name_line_key_and_what_is_allowed(text, sentence):
    with pytest.raises(study.StudyError) as caught:
        study.parse(text, "s.toml")
    assert sentence in str(caught.value)


def test_every_error_gets_a_line():
    with pytest.raises(study.StudyError) as caught:
        study.parse("title = 1\nseed = -1\nextra = 2\n[architectures]", "s.toml")
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"s.toml, line {i}" for i in (1, 2, 3)]


def test_a_place_has_one_sentence():
    with pytest.raises(study.StudyError) as caught:
        study.parse(SIMULATED + "[representations]\nsize = [3]", "s.toml")
    assert len(str(caught.value).splitlines()) == 1


def test_lines_are_found():
    text = "a = 1\n[b]\n'c d' = 2\nx.y = 3\n[[e]]\nf = 1\n"
    assert line_of(text, ("a",)) == 1
    assert line_of(text, ("b", "c d", 0)) == 3
    assert line_of(text, ("b", "x", "y")) == 4
    assert line_of(text, ("e", 0, "f")) == 6
    assert line_of(text, ("b", "inline", "key")) == 2
    assert line_of(text, ("nothing",)) is None
    assert line_of('a = """\nb = 1\n"""\nb = 2', ("b",)) == 4


def test_missing_and_binary_files_are_a_sentence(tmp_path):
    with pytest.raises(study.StudyError, match=r"cannot be read .*; neurn study init makes one"):
        study.read(tmp_path / "no.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(study.StudyError, match="is not a text in UTF-8"):
        study.read(tmp_path / "b.toml")


def test_paths_begin_where_the_file_is(tmp_path):
    text = '[recordings]\nsource = "files"\nfiles = ["a/*.nwb", "/b.nwb"]'
    (tmp_path / "s.toml").write_text(text)
    assert study.read(tmp_path / "s.toml").recordings.files == (f"{tmp_path}/a/*.nwb", "/b.nwb")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("4 GB", 4 * 10**9), ("500MB", 5 * 10**8), ("1.5g", 15 * 10**8), (10**9, 10**9)],
)
def test_sizes_may_have_units(value, expected):
    assert settings.Run(memory=value).memory == expected


def test_the_example_is_whole_and_shows_the_defaults():
    example = study.parse(template())
    for name in type(example).model_fields:
        table = getattr(example, name)
        if isinstance(table, settings.Table):
            required = {"source": "simulated"} if name == "recordings" else {}
            required |= {"kind": table.kind} if name == "cluster" else {}
            assert table == type(table)(**required), name


def test_every_key_stands_in_the_example():
    text = template()
    for line in text.splitlines():
        assert len(line) <= 100, line
    keys = re.compile(r"^(# )?(\[\w+\]|\w+ = )")
    values = tomllib.loads(
        "\n".join(line.removeprefix("# ") for line in text.splitlines() if keys.match(line))
    )
    assert set(values) == set(settings.Study.model_fields)
    kinds = {
        "run": settings.Run,
        "representations": settings.Representations,
        "selection": settings.Selection,
        "models": settings.Models,
        "compare": settings.Compare,
        "architectures": settings.Architectures,
        "generalization": settings.Generalization,
        "cluster": settings.Cluster,
    }
    for name, kind in kinds.items():
        assert set(values[name]) == set(kind.model_fields), name
    recordings = {*settings.Simulated.model_fields, *settings.Files.model_fields}
    assert set(values["recordings"]) == recordings
