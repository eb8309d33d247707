import hashlib
import importlib
import json
import shutil
import sys

import numpy as np
import pytest

from neurn import _native, arch, cli, compare, features, mouse, study
from neurn.mouse import tables
from neurn.study.graph import code_digest
from neurn.study.stages import STAGES
from neurn.study.stages.architectures import read_scores, read_zoom
from neurn.study.stages.compare import read_scores as read_scores_of
from neurn.study.stages.features import read_features
from neurn.study.stages.recordings import read_truth
from neurn.study.stages.selection import read_chosen, read_selection
from neurn.study.stages.stimuli import read_images
from neurn.study.store import Store

from .conftest import RECORDED
from .toy import contents

pytest.importorskip("pydantic")
pytestmark = pytest.mark.xdist_group("small study")
xarray = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")


def folders(small, stage):
    settings, store = small
    return [store.path(stage, p.key) for p in study.make_plan(settings, store).of(stage)]


def test_recordings_are_those_of_simulate(small, tmp_path):
    made = mouse.simulate(tmp_path, areas=["VISp"], neurons=8, repetitions=6)
    (folder,) = folders(small, "recordings")
    for path in made.paths:
        ours = mouse.open_nwb(folder / "ophys_experiment_data" / path.name)
        assert np.array_equal(ours.traces().values, mouse.open_nwb(path).traces().values)
    assert read_truth(folder).equals(made.truth)
    (stimuli,) = folders(small, "stimuli")
    images = read_images(stimuli)
    assert np.array_equal(images.values, mouse.open_nwb(made.paths[0]).images().values)
    assert images.attrs["simulated"] == 1


def test_features_need_images_and_no_recordings(small):
    settings, store = small
    plan = study.make_plan(settings, store)
    for planned in plan.of("features") + plan.of("recordings"):
        assert planned.item.inputs == ("stimuli/natural scenes",)
    other = settings.model_copy(
        update={"recordings": settings.recordings.model_copy(update={"noise": 2.0})}
    )
    changed = study.make_plan(other, store)
    for stage, same in (("stimuli", True), ("features", True), ("recordings", False)):
        keys = [[p.key for p in made.of(stage)] for made in (plan, changed)]
        assert (keys[0] == keys[1]) is same


def test_statistics_and_maps_are_those_of_mouse(small):
    (recordings,) = folders(small, "recordings")
    paths = sorted(recordings.glob("ophys_experiment_data/*.nwb"))
    described, mapped = folders(small, "statistics"), folders(small, "representations")
    assert len(paths) == len(described) == len(mapped) == 2
    for path, statistics, maps in zip(paths, described, mapped, strict=True):
        recording = mouse.open_nwb(path)
        found = xarray.load_dataset(statistics / "statistics.nc")
        expected = mouse.statistics(recording)
        assert np.array_equal(found["reliability"], expected["reliability"], equal_nan=True)
        assert found.attrs["simulated"] == 1
        peaks = xarray.load_dataset(statistics / "peaks.nc")
        assert np.array_equal(peaks["peak"], mouse.peaks(recording)["peak"])
        ours = xarray.load_dataarray(maps / "maps.nc")
        theirs = mouse.representations(recording, size=(7, 9), normalize="zscore")
        assert ours.shape == (8, 7, 9)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_selection_takes_what_there_is(small):
    (folder,) = folders(small, "selection")
    selection = read_selection(folder)
    chosen = read_chosen(folder)
    assert selection.simulated
    assert selection.embedded_by == "pca"
    classes = chosen["cell_class"].values.tolist()
    assert (classes.count("excitatory"), classes.count("inhibitory")) == (5, 8)
    assert chosen.shape == (13, 7, 9)


def test_architectures_are_those_of_similarity(small):
    (folder,) = folders(small, "architectures")
    names, values = read_scores(folder)
    expected = arch.similarity(["VGG11", "VGG16", "VGG19", "ResNet50"], "published")
    assert names == list(expected.names)
    assert np.array_equal(values["index"], expected.index)
    assert np.array_equal(values["correlation"], expected.correlation())
    zoomed = {name: list(arch.sequence(name, "published")) for name in ("VGG11", "VGG16", "VGG19")}
    assert read_zoom(folder) == zoomed


def test_processes_give_the_same_files(small, tmp_path):
    settings = study.parse(RECORDED)
    assert study.run(settings, tmp_path, workers=2, quiet=True).complete
    ours, every = contents(tmp_path), contents(small[1].folder)
    assert len(ours) == 7
    for (stage, key), files in ours.items():
        assert files.keys() == every[stage, key].keys()
        for name, digest in files.items():
            # NetCDF may lay out the same data in another way.
            if digest != every[stage, key][name]:
                assert name.endswith(".nc")
                one, two = (f / "cache" / stage / key / name for f in (tmp_path, small[1].folder))
                with xarray.open_dataset(one) as a, xarray.open_dataset(two) as b:
                    xarray.testing.assert_identical(a, b)


def test_features_are_those_of_extract(small):
    plain, behind = folders(small, "features")
    (stimuli,) = folders(small, "stimuli")
    images = read_images(stimuli) / np.float32(255)
    model = features.build("neurn.generalize.models:lenet", size=32, seed=0)
    for folder, name in ((plain, "none"), (behind, "neurn")):
        expected = features.extract(
            features.with_front_end(model, name), images, ["0", "3"], reduce="mean"
        )
        ours = read_features(folder)
        assert list(ours) == ["0", "3"]
        for layer, values in expected.items():
            assert ours[layer].attrs["front_end"] == name
            assert ours[layer].attrs["model"] == "lenet"
            assert "random weights" in ours[layer].attrs["weights"]
            assert ours[layer].shape == values.shape


def test_comparison_is_that_of_compare(small):
    by_metric = {
        json.loads((folder / "item.json").read_text())["parameters"]["metric"]: folder
        for folder in folders(small, "compare")
    }
    assert set(by_metric) == {"rmse", "rsa", "cka", "regression", "distributions"}
    (selection,) = folders(small, "selection")
    chosen = read_selection(selection).index
    trials = tables.join(
        [xarray.load_dataarray(f / "responses.nc") for f in folders(small, "statistics")]
    )
    trials = trials.isel(stimulus=trials["stimulus"].values >= 0).isel(neuron=chosen)
    layer = read_features(folders(small, "features")[1])["3"]
    expected = compare.regression(trials, layer, permutations=5, seed=0)
    table = read_scores_of(by_metric["regression"])
    ours = table[(table["layer"].astype(str) == "3") & (table["front_end"] == "neurn")]
    np.testing.assert_allclose(ours["score"], expected["score"], rtol=1e-9)
    expected = compare.cka(trials, layer, permutations=10, bootstrap=10, seed=0)
    table = read_scores_of(by_metric["cka"])
    ours = table[
        (table["layer"].astype(str) == "3")
        & (table["front_end"] == "neurn")
        & (table["by"] == "all")
    ]
    np.testing.assert_allclose(ours["score"], expected["score"], rtol=1e-9)


def test_names_of_unequal_length_survive_files(tmp_path):
    for name in ("VISp", "VISpm"):
        array = xarray.DataArray(np.ones(2), dims="neuron", coords={"area": ("neuron", [name] * 2)})
        tables.write(array, tmp_path / f"{name}.nc")
    joined = tables.join([xarray.load_dataarray(tmp_path / f"{n}.nc") for n in ("VISp", "VISpm")])
    tables.write(joined, tmp_path / "joined.nc")
    found = xarray.load_dataarray(tmp_path / "joined.nc")
    assert found["area"].values.tolist() == ["VISp", "VISp", "VISpm", "VISpm"]


def test_records_say_how_a_result_came_about(small):
    (folder,) = folders(small, "selection")
    record = json.loads((folder / "item.json").read_text())
    assert record["parameters"]["inhibitory"] == 500
    assert set(record["versions"]) >= {"neurn", "python", "torch", "numpy", "scikit-learn"}
    assert [name.partition("/")[0] for name in record["inputs"]] == ["representations"] * 2 + [
        "statistics"
    ] * 2


def test_files_of_your_own(small, tmp_path):
    (recordings,) = folders(small, "recordings")
    text = RECORDED.replace('source = "simulated"\nareas = ["VISp"]', "CHANGED")
    text = text.replace("neurons = 8\nrepetitions = 6\n", "")
    files = f'source = "files"\nfiles = ["{recordings}/ophys_experiment_data/*.nwb"]'
    every = study.parse(text.replace("CHANGED", files))
    assert study.run(every, tmp_path, workers=1, quiet=True).complete
    ours = {p.item.name for p in study.make_plan(every, Store(tmp_path)).of("statistics")}
    assert ours == {"900000001", "900000002"}
    some = study.parse(text.replace("CHANGED", files + '\ncre_lines = ["Vip-IRES-Cre"]'))
    plan = study.make_plan(some, Store(tmp_path))
    assert [p.item.name for p in plan.of("recordings")] == ["900000002"]
    assert Store(tmp_path).has("statistics", plan.of("statistics")[0].key)
    assert Store(tmp_path).has("stimuli", plan.of("stimuli")[0].key)


def test_a_file_that_shows_other_images_fails_by_itself_and_changes_no_key(tmp_path):
    def sessions(name, **settings):
        made = mouse.simulate(tmp_path / name, areas=["VISp"], neurons=2, repetitions=4, **settings)
        return [str(path) for path in made.paths]

    first = sessions("first")
    text = '[recordings]\nsource = "files"\nfiles = {}\n' + OWN[OWN.index("[models]") :].replace(
        "own_models:small", "neurn.generalize.models:lenet"
    ).replace("size = 16", "size = 32")
    alone = study.parse(text.format(json.dumps(first)))
    assert study.run(alone, tmp_path / "o", workers=1, quiet=True).complete

    same, other = tmp_path / "0.nwb", tmp_path / "9.nwb"
    shutil.copy(sessions("same", seed=1, images=mouse.open_nwb(first[0]).images().values)[0], same)
    shutil.copy(sessions("other", seed=1)[0], other)
    more = study.parse(text.format(json.dumps([str(same), *first, str(other)])))
    result = study.run(more, tmp_path / "o", workers=1, quiet=True)
    assert result.failed == {
        "recordings/9": f"{str(other)!r}: its natural scenes are not those of the study's first "
        "file; only sessions that show the same images can be in one study"
    }
    assert result.skipped == ("statistics/9",)
    # Images, features, and both sessions with their statistics are those of before.
    assert (result.kept, result.done) == (6, 2)


OWN = """
[recordings]
source = "simulated"
areas = ["VISp"]
cre_lines = ["Cux2-CreERT2"]
neurons = 2
repetitions = 4
[models]
names = ["own_models:small"]
front_ends = ["none"]
size = 16
"""
SOURCE = "from torch import nn\n\ndef small():\n    return nn.Sequential(nn.Conv2d(3, {}, 3))\n"


def test_a_model_of_the_current_directory_is_found_and_follows_its_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # As the installed command has it: the directory is not on the path.
    monkeypatch.setattr("sys.path", [place for place in sys.path if place])
    (tmp_path / "study.toml").write_text(OWN)
    command = ["study", "run", "study.toml", "--out", "o", "--no-report", "--workers", "2"]
    for count, kept in ((2, 0), (3, 3)):
        (tmp_path / "own_models.py").write_text(SOURCE.format(count))
        monkeypatch.delitem(sys.modules, "own_models", raising=False)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        assert cli.main([*command, "--quiet"]) == 0
        items = Store(tmp_path / "o").read_study()["items"]
        assert [i["status"] for i in items].count("kept") == kept
        (item,) = [i for i in items if i["stage"] == "features"]
        (layer,) = read_features(Store(tmp_path / "o").path("features", item["key"])).values()
        assert layer.sizes["feature"] == count
    assert str(tmp_path) not in sys.path


def test_other_weights_are_another_result(tmp_path, monkeypatch):
    settings = study.parse('[recordings]\nsource = "simulated"\n[models]\nnames = ["VGG16"]')
    file = tmp_path / "vgg16.pth"
    monkeypatch.setattr("neurn.features.models._cached", lambda _: file if file.exists() else None)
    keys = set()
    for content in (None, b"one", b"two"):
        if content is not None:
            file.write_bytes(content)
        keys.add(study.make_plan(settings, Store(tmp_path / "o")).of("features")[0].key)
    assert len(keys) == 3


def test_native_libraries_are_part_of_the_code():
    native = {stage.name for stage in STAGES if "neurn._ops" in stage.code}
    assert native == {"features", "architectures", "generalization"}
    content = b"_ops.so\0" + _native.ops_library().read_bytes() + b"\0"
    assert code_digest("neurn._ops") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[recordings]\nsource = "files"\nfiles = ["no/*.nwb"]', "nothing matches 'no/[*].nwb'"),
        ('[architectures]\nmodels = ["VGG99"]', "architectures.models: 'VGG99' is not in the zoo"),
        (
            '[recordings]\nsource = "simulated"\n[models]\nnames = ["VGG99"]',
            "models: .*VGG99",
        ),
        (
            '[recordings]\nsource = "simulated"\n[models]\nfront_ends = ["fog"]',
            "models: .*'fog'",
        ),
        (
            '[recordings]\nsource = "simulated"\n[models]\nnames = ["no.such:thing"]',
            "models: 'no.such:thing': there is no module 'no.such', neither installed nor here",
        ),
        ('[architectures]\nzoom = ["VGG99"]', "architectures.zoom: 'VGG99' is not in the zoo"),
        (
            '[architectures]\nzoom = ["VGG11", "ResNet50", "VGG19"]',
            "architectures.zoom: 'ResNet50' has 108 layers; give models of at most 60, or",
        ),
    ],
)
def test_what_is_not_there_is_said_before_anything_runs(text, sentence, tmp_path):
    with pytest.raises(study.StudyError, match=sentence):
        study.run(study.parse(text), tmp_path, quiet=True)
    assert not list(tmp_path.glob("cache/*"))


def test_a_file_that_is_no_recording_fails_by_itself(tmp_path):
    (tmp_path / "bad.nwb").write_bytes(b"no")
    settings = study.parse(f'[recordings]\nsource = "files"\nfiles = ["{tmp_path}/*.nwb"]')
    result = study.run(settings, tmp_path / "o", workers=1, quiet=True)
    assert "bad.nwb" in result.failed["stimuli/natural scenes"]
    assert result.skipped == ("recordings/bad", "statistics/bad")
