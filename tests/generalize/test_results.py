"""Evaluations from end to end: resume, matrices, leave-one-out, tables, pages, command."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from neurn import cli
from neurn.generalize import (
    Dataset,
    Domain,
    EvaluationSet,
    LabelLeakError,
    NoData,
    Results,
    Run,
    Source,
    TrainingConfig,
    Variant,
    curve,
    evaluate,
    leave_one_out,
    report,
    sweeps,
)
from neurn.generalize.store import Store

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

CONFIG = TrainingConfig(epochs=2, batch_size=8, learning_rate=0.01)


def model():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))


def bars(name, seed=0, count=90, brightness=150):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), count // 3)
    images = rng.integers(0, 60, (count, 3, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 2] += np.uint8(brightness)
    order = rng.permutation(count)
    return Dataset(name, images[order], labels[order])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two front ends, three seeds, a domain, shifts, a curve, and one without data."""
    out = tmp_path_factory.mktemp("out")
    targets = [
        Domain("other", "Other bars", None, bars("other", 5)),
        NoData("svhn", "SVHN", "SVHN: no data; get it there"),
        "invert",
        *curve("contrast", (0.8, 0.2)),
    ]
    source = Source(bars("bars"), 40, 20, 30)
    found = evaluate(
        model, source, targets, ("none", "neurn"), 3, CONFIG, out=out, oracle=True, command="x <y>"
    )
    return found, out, source, targets


def again(results, **changes):
    _, out, source, targets = results
    events = []
    settings = {"seeds": 3, "training": CONFIG, "out": out, "oracle": True, **changes}
    found = evaluate(model, source, targets, ("none", "neurn"), on_epoch=events.append, **settings)
    return found, events


def test_one_line_per_model_and_target(results):
    found, out, *_ = results
    lines = [json.loads(line) for line in (out / "runs.jsonl").read_text().splitlines()]
    assert len(lines) == len(found.runs) == 3 * 2 * 5
    assert len({line["key"] for line in lines}) == len(lines)
    assert {line["domain"] for line in lines} == set(found.domains) - {"svhn"}
    assert found.record["no data"] == {"svhn": "SVHN: no data; get it there"}
    assert found.record["data"]["bars"]["sha256"]
    assert json.loads(json.dumps(found.record)) == json.loads(json.dumps(found.record))


def test_finished_runs_are_not_trained_again(results):
    first, out, *_ = results
    before = (out / "runs.jsonl").read_bytes()
    found, events = again(results)
    assert found.runs == first.runs
    assert [t.fit for t in found.trainings] == [t.fit for t in first.trainings]
    assert len(events) == 6
    assert {event.epoch for event in events} == {2}
    for ours, theirs in zip(found.runs, first.runs, strict=True):
        assert (ours.confusion == theirs.confusion).all()
        assert (ours.correct == theirs.correct).all()
        assert (ours.ids == theirs.ids).all()
    assert (out / "runs.jsonl").read_bytes() == before


def test_a_killed_sweep_loses_the_run_under_way_and_no_more(results, tmp_path):
    first, out, source, targets = results
    lines = (out / "runs.jsonl").read_bytes().splitlines(keepends=True)
    # three whole runs of five lines, two lines of the fourth, and half a line
    (tmp_path / "runs.jsonl").write_bytes(b"".join(lines[:17]) + lines[17][:40])
    found, events = again((first, tmp_path, source, targets))
    assert found.runs == first.runs
    assert [event.epoch for event in events] == [2] * 3 + [1, 2] * 3
    kept = (tmp_path / "runs.jsonl").read_bytes().splitlines(keepends=True)
    assert kept[:17] == lines[:17]
    strip = [{k: v for k, v in json.loads(line).items() if k != "fit"} for line in kept]
    assert strip == [{k: v for k, v in json.loads(line).items() if k != "fit"} for line in lines]


@pytest.mark.parametrize("change", ["seeds", "settings", "data"])
def test_other_content_is_trained_anew(results, tmp_path, change):
    first, out, source, targets = results
    shutil.copy(out / "runs.jsonl", tmp_path)
    if change == "data":
        images = source.data.images.copy()
        images[0, 0, 0, 0] ^= 1
        source = Source(Dataset("bars", images, source.data.labels), 40, 20, 30)
    options = {"seeds": {"seeds": [7]}, "settings": {"training": TrainingConfig(epochs=1)}}
    _, events = again((first, tmp_path, source, targets), **options.get(change, {}))
    assert events[0].epoch == 1


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "runs.jsonl").write_text("precious\n")
    with pytest.raises(ValueError, match=r"line 1: not a line of 'neurn generalize 1'"):
        Store(tmp_path / "runs.jsonl")
    assert (tmp_path / "runs.jsonl").read_text() == "precious\n"


def test_pairing_flips_and_confusion_fit_together(results):
    found, *_ = results
    for domain in ("bars", "other", "invert"):
        flips = found.flips("neurn", "none", domain)
        pairs = found.pairs("neurn", "none", domain)
        change = sum(round((ours.accuracy - theirs.accuracy) * ours.n) for ours, theirs in pairs)
        assert int((flips.gained - flips.lost).sum()) == change
        assert int(flips.seeds.sum()) == sum(ours.n for ours, _ in pairs)
        matrix = found.confusion("neurn", domain)
        share = np.trace(matrix) / matrix.sum()
        assert share == pytest.approx(found.accuracy("neurn", domain).mean)
        assert np.nanmean(found.per_class("neurn", domain)) == pytest.approx(share, abs=0.05)
    assert found.flips("neurn", "none", "other").seeds.tolist() == [3] * 90


def test_the_oracle_is_a_bound_in_a_column_of_its_own(results):
    found, *_ = results
    assert all(run.oracle >= run.accuracy for run in found.runs)
    assert any(run.oracle > run.accuracy for run in found.runs)
    assert "oracle: epoch chosen on target labels" in found.to_markdown()


def test_no_data_is_a_row(results):
    found, *_ = results
    assert found.accuracy("none", "svhn").n == 0
    text = found.to_text()
    assert any(line.split()[:3] == ["SVHN", "no", "data"] for line in text.splitlines())
    assert "no data" in found.to_markdown()


def test_summary_tests_what_the_statistics_say(results):
    found, *_ = results
    (row,) = [r for r in found.summary() if r.baseline and r.domain == "invert"]
    assert row.p_seeds == pytest.approx(0.25)  # three seeds, all higher: 2 / 2^3
    assert row.p_seeds_holm == 1.0
    assert 0 < row.p_images <= row.p_images_holm < 0.001
    assert row.bootstrap.low <= row.interval.mean <= row.bootstrap.high
    accuracy = next(r for r in found.summary() if not r.baseline and r.domain == "invert")
    assert accuracy.calibration.n == 3


def test_exports(results, tmp_path):
    found, *_ = results
    written = {path.name for path in found.save(tmp_path)}
    assert written >= {"runs.csv", "summary.csv", "per_class.csv", "flips.csv", "tables.md"}
    assert written >= {"tables.tex", "record.json", "differences.png", "curves.png"}
    assert written >= {"examples.png", "report.html"}
    assert written == {path.name for path in tmp_path.iterdir()}
    read = Results.read_csv(tmp_path / "runs.csv", found.info)
    assert read.runs == found.runs
    assert [r.interval for r in read.summary()] == [
        r.interval for r in found.summary() if r.interval.n or r.domain != "svhn"
    ]
    with pytest.raises(ValueError, match="were not kept"):
        read.flips("neurn", "none", "bars")
    page = (tmp_path / "report.html").read_text()
    assert "x &lt;y&gt;" in page
    assert page.count("data:image/png;base64,") >= 4
    assert "no data; get it there" in page
    tex = (tmp_path / "tables.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 2
    assert r"95 \% t interval" in tex
    found.to_csv(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "runs.csv").read_bytes()
    found.to_html(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == page
    assert found.to_latex() == tex


def test_lines_and_tables_are_reported_on_without_training(results, tmp_path, capsys):
    found, out, *_ = results
    read = Results.read_jsonl(out / "runs.jsonl")
    assert read.runs == found.runs
    assert read.flips("neurn", "none", "other").gained.sum() >= 0
    assert [t.fit for t in read.trainings] == [t.fit for t in found.trainings]
    found.to_csv(tmp_path / "runs.csv")
    for file in (out / "runs.jsonl", tmp_path / "runs.csv"):
        assert run_command("--from", file, "--out", tmp_path / file.name[5:]) == 0
        assert "Low contrast (0.2)" in capsys.readouterr().out
        assert (tmp_path / file.name[5:] / "curves.png").exists()
    assert run_command("--from", tmp_path / "absent.jsonl", "--out", tmp_path / "x") == 1
    assert "absent.jsonl does not exist" in capsys.readouterr().err


def test_parquet_holds_the_frame(results, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    found, *_ = results
    found.to_parquet(tmp_path / "runs.parquet")
    pandas.testing.assert_frame_equal(
        pandas.read_parquet(tmp_path / "runs.parquet"), found.to_frame(), check_dtype=False
    )


def test_plots_show_the_results(results):
    found, *_ = results
    curves = found.plot("curves")
    lines = {line.get_label(): line for line in curves.axes[0].lines}
    assert list(lines["NeuRN"].get_xdata()) == [0.2, 0.8]
    expected = [100 * found.accuracy("neurn", f"contrast={v}").mean for v in (0.2, 0.8)]
    assert curves.axes[0].xaxis_inverted()
    assert list(lines["NeuRN"].get_ydata()) == pytest.approx(expected)
    assert len(found.plot("differences").axes[0].get_yticklabels()) == 6
    matrix = np.asarray(found.plot("confusion", "other").axes[0].images[0].get_array())
    np.testing.assert_allclose(matrix.sum(axis=1), 100)
    assert len(found.plot("examples").axes) >= 5
    with pytest.raises(ValueError, match="kind must be"):
        found.plot("pie")
    bare = Results((), (), (), (), ())
    with pytest.raises(ValueError, match="no severity curve"):
        bare.plot("curves")
    with pytest.raises(ValueError, match="no images"):
        bare.plot("examples")


def test_several_sources_give_a_matrix():
    names = ("one", "two")
    domains = [Domain(n, n.title(), bars(n, s), bars(n, s + 9)) for s, n in enumerate(names)]
    found = evaluate(model, domains, domains, ("none", "neurn"), 1, CONFIG)
    assert found.sources == names
    matrix = found.matrix("neurn")
    assert list(matrix.index) == list(matrix.columns) == list(names)
    assert not matrix.isna().any().any()
    part = found.select(source="two")
    delta = part.accuracy("neurn", "one").mean - part.accuracy("none", "one").mean
    assert found.matrix("neurn", "none").loc["two", "one"] == pytest.approx(delta)
    with pytest.raises(ValueError, match="select one model and source"):
        found.accuracies("none", "one")
    with pytest.raises(ValueError, match="no runs of source 'three'; there are one, two"):
        found.select(source="three")


def test_leave_one_out_trains_on_all_others(monkeypatch):
    domains = [Source(bars(n, s), 40, 20, 30) for s, n in enumerate(("a", "b", "c"))]
    found = leave_one_out(model, domains, ("none",), 1, CONFIG)
    assert found.sources == ("all but a", "all but b", "all but c")
    for left in "abc":
        part = found.select(source=f"all but {left}")
        assert [run.domain for run in part.runs] == [f"all but {left}", left]
        assert part.runs[1].n == 90
    pooled = Source.pooled("p", domains[:2])
    split = pooled.split(0)
    assert len(split.train) == 80
    first = {image.tobytes() for image in domains[0].data.images}
    own = sum(image.tobytes() in first for image in split.train.images)
    assert abs(own - 40) <= 3
    with pytest.raises(ValueError, match="two domains or more"):
        leave_one_out(model, domains[:1])


def test_augmented_variants_share_their_batches_and_are_compared_with_their_like():
    source = Source(bars("bars"), 40, 20, 30)

    def network():
        return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 3))

    found = evaluate(network, source, [], ("none", "none+randconv", "neurn+randconv"), 1, CONFIG)
    contrasts = {(r.front_end, r.baseline) for r in found.summary() if r.baseline}
    assert contrasts == {
        ("none+randconv", "none"),
        ("neurn+randconv", "none"),
        ("neurn+randconv", "none+randconv"),
    }


def test_an_augmentation_cannot_peek_at_targets():
    target = EvaluationSet("target", bars("t").images, bars("t").labels)

    class Peek:
        def attach(self, network):
            return None

        def __call__(self, images, generator):
            target.accuracy(np.zeros(len(target), np.int64))
            return images

    source = Source(bars("bars", 3), 40, 20, 30)
    with pytest.raises(LabelLeakError, match="'target'"):
        evaluate(model, source, [target], [Variant("x", nn.Identity, (Peek(),))], 1, CONFIG)


SOURCE = Source(bars("bars"), 40, 20, 30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": [SOURCE.data]}, "target 'bars' is the source"),
        ({"targets": [Dataset("same", SOURCE.data.images, SOURCE.data.labels)]}, "is the source"),
        ({"targets": ["invert", "invert"]}, "domain names must differ"),
        (
            {"targets": [Dataset("big", np.zeros((2, 3, 9, 9), np.uint8), np.arange(2))]},
            r"bring both to one size",
        ),
        (
            {"targets": [Dataset("more", bars("x", 2).images, bars("x", 2).labels + 1)]},
            "more: label 3 is outside the 3 classes of the source",
        ),
        ({"targets": ["fog"]}, "unknown domain 'fog'"),
        ({"model": lambda: nn.Linear(5, 3)}, "cannot take images of"),
        ({"model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 2))}, r"\(2, 3\) logits"),
        ({"checkpoints": True}, "need a directory"),
        ({"source": []}, "give at least one"),
    ],
)
def test_bad_input_is_one_sentence_before_any_training(change, message, tmp_path):
    settings = {"model": model, "source": SOURCE, "targets": [], **change}
    events = []
    with pytest.raises(ValueError, match=message):
        evaluate(**settings, seeds=1, training=CONFIG, on_epoch=events.append)
    assert events == []


def test_domains_of_one_class_or_none_are_refused():
    one = Dataset("one", SOURCE.data.images, np.zeros(90, np.int64))
    with pytest.raises(ValueError, match="one: training needs two classes or more"):
        Source(one, 40, 20, 30)
    with pytest.raises(ValueError, match="none: there are no images"):
        Dataset("none", np.zeros((0, 3, 2, 2), np.uint8), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="few: label 5 is outside the 3 classes"):
        Dataset("few", np.zeros((1, 3, 2, 2), np.uint8), np.array([5]), 3)
    with pytest.raises(TypeError, match="source must be"):
        evaluate(model, 5, [])
    with pytest.raises(TypeError, match="target must be"):
        evaluate(model, SOURCE, [5])


def test_classes_of_other_names_are_refused():
    here = Domain("here", "Here", bars("here"), None, ("a", "b", "c"))
    there = Domain("there", "There", None, bars("there", 4), ("a", "c", "d"))
    with pytest.raises(ValueError, match="'there' has classes a, c, d, the source 'here' has a, b"):
        evaluate(model, here, [there])
    with pytest.raises(ValueError, match=r"the source 'digits' has 0, 1, 2.*must be the same"):
        evaluate(model, "digits", [there])
    with pytest.raises(ValueError, match="must have the same classes"):
        leave_one_out(model, [here, there, Domain("x", "X", bars("x", 8), None)])


def test_joining_keeps_each_run_once(results, tmp_path):
    found, *_ = results
    other = Results(
        (Run(9, "sobel", "bars", 0.5, 10, "bars", "model"),), (), (9,), ("sobel",), ("bars",)
    )
    joined = Results.join([found, other, found])
    assert len(joined.runs) == len(found.runs) + 1
    assert joined.front_ends == ("none", "neurn", "sobel")
    assert math.isnan(joined.difference("sobel", "none", "bars").mean)
    with pytest.raises(ValueError, match="at least one"):
        Results.join([])
    with pytest.raises(ValueError, match="no confusion matrices"):
        other.confusion("sobel", "bars")


def run_command(*arguments):
    return cli.main(["generalize", *map(str, arguments)])


def test_command_from_end_to_end(tmp_path, capsys):
    pytest.importorskip("sklearn")
    out = tmp_path / "out"
    arguments = ["--out", out, "--targets", "invert", "svhn", "--seeds", 2, "--epochs", 1]
    arguments += ["--front-ends", "none", "neurn", "--limit", 60, "--first", 300]
    assert run_command(*arguments) == 0
    printed = capsys.readouterr()
    assert "lenet trained on digits, 2 seeds" in printed.out
    assert "no data" in printed.out
    assert "trained 4 of 4" in printed.err
    assert (out / "report.html").exists()
    assert run_command(*arguments, "--json", "--quiet") == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["runs"]) == 2 * 2 * 2
    assert record["record"]["command"].startswith("neurn generalize --out")


def test_a_file_of_sweeps(tmp_path, capsys):
    pytest.importorskip("sklearn")
    config = tmp_path / "study.toml"
    config.write_text(
        'targets = ["invert"]\nseeds = 1\nepochs = 1\nfirst = 200\nlimit = 40\n'
        '[[sweep]]\nfront_ends = ["none"]\n'
        '[[sweep]]\nmodel = "neurn.generalize.models:lenet"\nname = "mine"\nfront_ends = "neurn"\n'
    )
    assert run_command("--config", config, "--out", tmp_path / "out", "--quiet") == 0
    found = Results.read_csv(tmp_path / "out" / "runs.csv")
    assert found.models == ("lenet", "mine")
    assert (tmp_path / "out" / "examples-mine-digits.png").exists()
    assert run_command("--config", config, "--seeds", 3) == 2
    assert "argument --seeds: not beside --config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = ", "is not TOML"),
        ("seeds = 3", "one table"),
        ("[[sweep]]\nsede = 3", "unknown key 'sede'"),
        ("[[sweep]]\ntargets = [3]", "targets must be a list of names"),
        ('[[sweep]]\nprotocol = "x"', "protocol must be one of single, leave-one-out"),
        ('[[sweep]]\nepochs = "x"', "wrong kind"),
    ],
)
def test_wrong_files_of_sweeps_are_one_sentence(tmp_path, text, message):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        sweeps.read(tmp_path / "x.toml")


def test_sweeps_leave_one_out(tmp_path):
    for seed, name in enumerate("abc"):
        data = bars(name, seed)
        np.savez(tmp_path / f"{name}.npz", x=np.moveaxis(data.images, 1, 3), y=data.labels)
    sweep = sweeps.Sweep.of(
        {
            "source": [f"{name}={tmp_path / name}.npz" for name in "abc"],
            **{"protocol": "leave-one-out", "front_ends": ["none"], "seeds": 1, "epochs": 1},
            **{"size": 32, "batch_size": 16},
        }
    )
    found = sweep.run()
    assert found.sources == ("all but a", "all but b", "all but c")
    assert sweep.trainings == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "mnist"], "MNIST: no data given"),
        (["--model", "lennet"], "unknown model 'lennet'"),
        (["--model", "nowhere:lenet"], "cannot be imported"),
        (["--front-ends", "nearn"], "unknown front end 'nearn'"),
        (["--targets", "digits"], "target 'digits' is the source"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--limit", "0"], "limit must be at least 1, got 0"),
        (["--seeds", "-1"], "seeds must be at least 1, got -1"),
        (["--data", "/nowhere", "--targets", "usps", "--source", "mnist"], "does not exist"),
        (["--data", "/nowhere", "--targets", "usps"], "'/nowhere' does not exist; give another"),
        (["--targets", "own=/nowhere"], "/nowhere does not exist; give an npz file or a folder"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, message, tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert run_command("--out", tmp_path / "out", "--quiet", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_as_output_is_refused(tmp_path, capsys):
    pytest.importorskip("sklearn")
    (tmp_path / "out").write_text("precious")
    assert run_command("--out", tmp_path / "out", "--quiet") == 2
    assert "is a file; give a directory" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "threads"),
    [([], 1), (["--threads", "2"], 2), (["--model", "digit_net"], 0)],
)
def test_lenet_is_trained_on_one_thread_unless_told_otherwise(
    arguments, threads, tmp_path, monkeypatch
):
    seen = []

    def stop(sweep, *_, **__):
        seen.append(sweep.training.threads)
        raise ValueError("enough")

    monkeypatch.setattr(sweeps.Sweep, "run", stop)
    assert run_command("--out", tmp_path / "out", "--quiet", *arguments) == 2
    assert seen == [threads]


@pytest.mark.parametrize("kind", ["domains", "shifts", "models", "front-ends"])
def test_lists(kind, capsys):
    assert run_command("--list", kind) == 0
    expected = {"domains": "SVHN", "shifts": "contrast", "models": "vit", "front-ends": "neurn_rgb"}
    assert expected[kind] in capsys.readouterr().out


def test_report_needs_no_second_front_end():
    runs = tuple(Run(seed, "none", "d", 0.5, 10, "s", "m") for seed in range(2))
    found = Results(runs, (), (0, 1), ("none",), ("d",))
    assert "50.0" in report.text(found)
    assert "<table>" in report.page(found)
    assert torch.is_grad_enabled()
