import json

import pytest

from neurn import cli

pytest.importorskip("sklearn")
pandas = pytest.importorskip("pandas")


def run(*arguments):
    return cli.main(["mouse", *map(str, arguments)])


def test_from_simulation_to_selection(tmp_path, capsys):
    assert run("simulate", "--out", tmp_path / "s", "--neurons", 6, "--repetitions", 4) == 0
    out, err = capsys.readouterr()
    assert out.startswith("4 simulated sessions, about ")
    assert "truth.nc" in out and "simulating: 100 %" in err
    files = sorted((tmp_path / "s" / "ophys_experiment_data").iterdir())
    stats, plots = tmp_path / "stats.nc", tmp_path / "plots"
    assert run("stats", *files, "--out", stats, "--plots", plots, "--quiet") == 0
    pictures = {"peaks", "reliability", "neurons_per_area", "neurons_per_genotype_group"}
    names = {p.name for p in plots.iterdir()}
    assert names == {f"{name}{suffix}" for name in pictures for suffix in (".png", ".csv")}
    counts = pandas.read_csv(plots / "neurons_per_area.csv")
    assert counts.values.tolist() == [["VISl", 12, True], ["VISp", 12, True]]
    maps = tmp_path / "maps.nc"
    picture = tmp_path / "maps.png"
    assert run("represent", *files, "--out", maps, "--size", 6, 7, "--plot", picture) == 0
    assert picture.stat().st_size > 1000
    assert len(pandas.read_csv(picture.with_suffix(".csv"))) == 24 * 6 * 7
    chosen, wanted = tmp_path / "chosen.csv", ["--excitatory", 6, "--inhibitory", 4]
    settings = [*wanted, "--per-cluster", 2, "--embedding", "pca", "--plots", tmp_path / "p"]
    assert run("select", maps, "--out", chosen, *settings) == 0
    frame = pandas.read_csv(chosen)
    assert frame["cell_class"].value_counts().to_dict() == {"excitatory": 6, "inhibitory": 4}
    assert frame["simulated"].all() and (frame["embedding"] == "pca").all()
    assert (tmp_path / "p" / "embedding_by_area.png").exists()
    every = pandas.read_csv(tmp_path / "p" / "embedding_by_genotype_group.csv")
    assert len(every) == 24 and every["chosen"].sum() == 10
    assert every.loc[every["chosen"], "place"].tolist() == frame["place"].tolist()
    reliable = ["--method", "reliable", "--stats", stats, "--threshold", -1]
    assert run("select", maps, "--out", chosen, *wanted, *reliable) == 0
    assert "10 of 24 neurons: reliable" in capsys.readouterr().out
    settings += ["--stability", 3, "--dry-run"]
    assert run("select", maps, "--out", tmp_path / "none.csv", *settings) == 0
    assert "12 excitatory, 12 inhibitory neurons; would write" in capsys.readouterr().out
    assert not (tmp_path / "none.csv").exists()
    assert run("select", maps, "--out", chosen, *settings[:-1]) == 0
    assert "adjusted Rand index between 3 seeds: mean" in capsys.readouterr().out
    # Statistics of other neurons, or of the same ones in another order.
    assert run("stats", *files[::-1], "--out", stats, "--quiet") == 0
    assert run("select", maps, "--out", chosen, *wanted, *reliable) == 2
    assert "describes other neurons than" in capsys.readouterr().err


def test_matched_from_the_shell(path, tmp_path):
    stats, maps, chosen = (tmp_path / name for name in ("stats.nc", "maps.nc", "chosen.parquet"))
    assert run("stats", path, path, "--out", stats) == 0
    assert run("represent", path, path, "--out", maps, "--size", 5) == 0
    wanted = ["--excitatory", 8, "--inhibitory", 0, "--stats", stats, "--by", "layer"]
    assert run("select", maps, "--out", chosen, "--method", "matched", *wanted) == 0
    assert len(pandas.read_parquet(chosen)) == 8


def test_events_groups_and_parquet(path, recording, tmp_path):
    from neurn import mouse

    mine = tmp_path / "groups.json"
    mine.write_text(json.dumps({recording.metadata.genotype: "mine"}))
    out, plots = tmp_path / "a.nc", tmp_path / "plots"
    settings = ["--signal", "events", "--groups", mine, "--data-format", "parquet", "--quiet"]
    assert run("stats", path, "--out", out, "--plots", plots, *settings) == 0
    import xarray

    found = xarray.load_dataset(out, engine="h5netcdf")
    expected = mouse.statistics(recording, signal="events")
    assert found["reliability"].values == pytest.approx(expected["reliability"].values)
    assert (found["genotype_group"] == "mine").all()
    assert pandas.read_parquet(plots / "neurons_per_genotype_group.parquet")["neurons"].item() == 8
    maps = tmp_path / "maps.nc"
    assert run("represent", path, "--out", maps, "--preset", "paper-figure", *settings) == 0
    back = xarray.load_dataarray(maps, engine="h5netcdf")
    expected = mouse.representations(
        mouse.responses(recording, signal="events")["trials"], preset="paper-figure"
    )
    assert back.values == pytest.approx(expected.values, nan_ok=True)


def test_inspect(path, tmp_path, capsys):
    assert run("inspect", path) == 0
    assert "genotype_group" not in capsys.readouterr().out
    picture = tmp_path / "a.png"
    assert run("inspect", path, "--json", "--plot", picture, "--neuron", 1) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["neurons"], about["presentations"], about["blanks"]) == (8, 714, 6)
    assert about["simulated"] is True and about["layer"] == "L2/3"
    assert picture.exists()
    table = pandas.read_csv(picture.with_suffix(".csv"))
    assert (table["neuron"] == 2).all() and {"trace", "tuning", "map"} <= set(table["panel"])


def test_inspect_of_another_session(path, tmp_path, capsys):
    from tests.mouse.files import SCENES, changed

    def change(file):
        file.pop(SCENES)
        file.pop("general/optophysiology/imaging_plane_1/imaging depth")

    assert run("inspect", changed(path, tmp_path / "a.nwb", change), "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["presentations"], about["depth"]) == (0, None)


def test_dry_runs_write_nothing(path, tmp_path, capsys):
    assert run("simulate", "--out", tmp_path / "s", "--dry-run") == 0
    assert run("stats", path, "--out", tmp_path / "a.csv", "--dry-run") == 0
    assert run("represent", path, "--out", tmp_path / "a.nc", "--dry-run") == 0
    assert run("inspect", path, "--plot", tmp_path / "a.png", "--dry-run") == 0
    manifest = tmp_path / "manifest.json"
    assert run("list", "--manifest", manifest, "--dry-run") == 0
    assert list(tmp_path.iterdir()) == []
    out = capsys.readouterr().out
    assert "8 neurons, VISp" in out and f"{manifest}: would be made or fetched" in out


def test_a_dry_run_of_a_list_says_what_is_there(simulation, capsys):
    assert run("list", "--manifest", simulation.manifest, "--dry-run", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3 and all(line["there"] for line in lines)


def test_a_file_of_another_session_fails_before_the_others_are_computed(
    path, tmp_path, monkeypatch, capsys
):
    from neurn import mouse
    from tests.mouse.files import SCENES, changed

    other = changed(path, tmp_path / "a.nwb", lambda file: file.pop(SCENES))
    monkeypatch.setattr(mouse, "responses", None)
    assert run("stats", path, other, "--out", tmp_path / "a.csv", "--quiet") == 2
    assert "a.nwb' has no 'stimulus/presentation/natural_scenes'" in capsys.readouterr().err


def test_scenes_of_ones_own(path, tmp_path, capsys):
    plots = tmp_path / "p"
    settings = ["--out", tmp_path / "a.csv", "--plots", plots, "--quiet", "--scenes"]
    assert run("stats", path, *settings, 7, 500) == 2
    assert "argument --scenes: no scene 500, there are 0 to 117" in capsys.readouterr().err
    assert not plots.exists() and not (tmp_path / "a.csv").exists()
    assert run("stats", path, *settings, 7) == 0 and (plots / "peaks.png").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["stats", "{path}", "--out", "a.txt"], 2, "argument --out: must end in .csv, .parquet,"),
        (["represent", "{path}", "--out", "a.nc", "--plot", "a.gif"], 2, "argument --plot: must"),
        (["represent", "{path}", "--out", "a.nc", "--size", "1", "2", "3"], 2, "argument --size"),
        (["stats", "{path}", "--out", "none/a.csv"], 2, "argument --out: there is no directory 'n"),
        (["stats", "{path}", "--out", "a.csv", "--scenes", "3"], 2, "argument --scenes: only with"),
        (["inspect", "{path}", "--neuron", "3"], 2, "argument --neuron: only with --plot"),
        (["inspect", "none.nwb"], 1, "there is no file 'none.nwb'"),
        (["inspect", __file__], 2, "is no whole HDF5 file"),
        (["select", "none.nc", "--out", "a.csv"], 1, "there is no file 'none.nc'"),
        (["select", __file__, "--out", "a.csv"], 2, "is not a file that neurn mouse wrote"),
        (["simulate", "--out", "{tmp}", "--areas", "V1"], 2, "areas must be of VISp"),
        (["inspect", "{path}", "--groups", __file__], 2, "is no JSON"),
        (["inspect", "{path}", "--groups", "{list}"], 2, "must map genotypes to names"),
    ],
)
def test_wrong_arguments_are_one_sentence(path, tmp_path, capsys, arguments, status, sentence):
    (tmp_path / "list.json").write_text("[1]")
    places = {"path": path, "tmp": tmp_path / "new", "list": tmp_path / "list.json"}
    given = [a.format(**places) for a in arguments]
    assert run(*given) == status
    err = capsys.readouterr().err
    assert err.startswith("neurn mouse: ") and sentence in err and err.count("\n") == 1
