"""Training in a study, in one process and by torchrun."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from neurn import generalize, study
from neurn.study.graph import Work
from neurn.study.report.generalization import examples
from neurn.study.stages.generalization import GENERALIZATION, read_results, run
from neurn.study.store import Store

pytest.importorskip("pydantic")
pytest.importorskip("sklearn")
pytest.importorskip("pandas")

pytestmark = pytest.mark.xdist_group("trained study")

TEXT = """
[generalization]
targets = ["invert", "noise", "mnistm"]
front_ends = ["none", "neurn"]
seeds = 2
epochs = 1
batch_size = 200
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    settings = study.parse(TEXT)
    result = study.run(settings, folder, (GENERALIZATION,), workers=1, quiet=True)
    assert result.complete, result.failed
    store = Store(folder)
    plan = study.make_plan(settings, store, (GENERALIZATION,))
    return settings, [store.path("generalization", p.key) for p in plan.of("generalization")]


@pytest.fixture(scope="module")
def expected(trained):
    settings = trained[0].generalization
    # The study's number of threads, which the order of sums depends on.
    training = generalize.TrainingConfig(
        epochs=1, batch_size=200, learning_rate=0.003, threads=trained[0].run.threads
    )
    return generalize.evaluate(
        "lenet", "digits", settings.targets, settings.front_ends, 2, training
    )


def test_runs_are_those_of_evaluate(trained, expected):
    ours = read_results(trained[1])
    assert ours.seeds == (0, 1)
    assert {(r.seed, r.front_end, r.domain): r.accuracy for r in ours.runs} == {
        (r.seed, r.front_end, r.domain): r.accuracy for r in expected.runs
    }
    assert ours.info["mnistm"].no_data
    assert ours.title("invert") == expected.title("invert")


def test_torchrun_gives_the_same_runs(trained, tmp_path):
    pytest.importorskip("torch.distributed")
    settings = trained[0]
    parameters = {
        **settings.generalization.model_dump(mode="json", exclude={"models", "seeds"}),
        **{"model": "lenet", "seed": 0, "processes": 2, "targets": ["invert"]},
    }
    run(Work(parameters, {}, (), tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["domains.json", "runs.jsonl"]
    found = read_results([tmp_path])
    one = read_results(trained[1][:1])
    for front_end in ("none", "neurn"):
        ours, theirs = (r.find(front_end, "invert")[0].accuracy for r in (found, one))
        assert ours == pytest.approx(theirs, abs=0.02)  # sums are taken in another order


def test_a_failure_under_torchrun_is_a_sentence(trained, tmp_path):
    parameters = {
        **trained[0].generalization.model_dump(mode="json", exclude={"models", "seeds"}),
        **{"model": "lenet", "seed": 0, "processes": 2, "source": "nothing"},
    }
    with pytest.raises(RuntimeError, match="nothing"):
        run(Work(parameters, {}, (), tmp_path))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('targets = ["fog"]', "'fog' is neither a shift"),
        ('targets = ["noise=7"]', "noise"),
        ('models = ["nonet"]', "nonet"),
        ('front_ends = ["none", "fog"]', "fog"),
    ],
)
def test_what_is_unknown_is_said_before_anything_runs(line, sentence, tmp_path):
    settings = study.parse(f"[generalization]\n{line}")
    with pytest.raises(study.StudyError, match=f"generalization: .*{sentence}"):
        study.make_plan(settings, Store(tmp_path), (GENERALIZATION,))


def test_files_of_a_domain_are_inputs(tmp_path):
    images = np.zeros((20, 8, 8), np.uint8)
    np.savez(tmp_path / "own.npz", x=images, y=np.arange(20) % 10)
    settings = study.parse(f'[generalization]\ntargets = ["own={tmp_path}/own.npz"]')
    plan = study.make_plan(settings, Store(tmp_path), (GENERALIZATION,))
    (first, *_) = plan.of("generalization")
    assert [Path(file).name for file in first.item.files] == ["own.npz"]
    images[0, 0, 0] = 1
    np.savez(tmp_path / "own.npz", x=images, y=np.arange(20) % 10)
    again = study.make_plan(settings, Store(tmp_path), (GENERALIZATION,))
    assert again.of("generalization")[0].key != first.key


def test_examples_are_the_layers_own_maps():
    shown = examples(["digits", "invert", "mnistm"], {"data": "", "size": 32})
    assert [each.title for each in shown][1:] == ["Inverted"]
    assert len(shown) == 2  # without data there is nothing to show
    assert shown[0].images.shape == (10, 3, 32, 32)
    np.testing.assert_array_equal(255 - shown[0].images, shown[1].images)
    np.testing.assert_allclose(shown[0].maps, shown[1].maps, atol=1e-6)


def test_settings_of_training_are_all_used():
    names = {field.name for field in dataclasses.fields(generalize.TrainingConfig)}
    assert {"epochs", "batch_size", "learning_rate", "optimizer", "schedule", "device"} <= names
