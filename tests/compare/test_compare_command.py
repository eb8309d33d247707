import json

import pandas
import pytest
import torch
from torch import nn

from neurn import cli, mouse

pytest.importorskip("h5py", reason="the extra mouse is not installed")
pytest.importorskip("matplotlib")

MODEL = "tests.compare.test_compare_command:net"


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    made = mouse.simulate(
        tmp_path_factory.mktemp("simulated"),
        areas=["VISp", "VISl"],
        cre_lines=["Cux2-CreERT2"],
        neurons=12,
        repetitions=4,
        seed=2,
    )
    return [str(path) for path in made.paths]


def run(*arguments):
    return cli.main(["compare", *map(str, arguments)])


def test_from_recordings_to_pictures(files, tmp_path, capsys):
    out = tmp_path / "out"
    settings = ["--recordings", *files, "--models", MODEL, "--input", 32, "--out", out]
    settings += ["--permutations", 5, "--bootstrap", 3, "--with", "neurn", "sobel"]
    settings += ["--metrics", "rmse", "rsa", "cka", "shape", "regression", "distributions"]
    assert run(*settings) == 0
    printed = capsys.readouterr().out
    assert "rmse (simulated data)" in printed and "as the callable makes it" in printed
    names = {path.name for path in out.iterdir()}
    expected = {"rmse.csv", "rmse_groups.csv", "rmse_paired.csv", "rsa.csv", "profiles.csv"}
    expected |= {"rmse_area_neurn.png", "rmse_scatter_sobel.png", "rmse_difference_neurn.png"}
    expected |= {"rsa_heat.png", "regression_groups.csv", "about.json"}
    assert expected <= names
    assert {"distributions.csv", "distributions.png"} <= names
    units = pandas.read_csv(out / "distributions.csv")
    assert len(units) == 3 * 2 * 12
    assert set(units["features"]) == {"features", "neurn + features", "sobel + features"}
    table = pandas.read_csv(out / "rmse.csv")
    assert set(table["front_end"]) == {"none", "neurn", "sobel"} and table["simulated"].all()
    assert len(table) == 3 * 12 and table["layer"].nunique() == 1  # half of 24 neurons
    assert {"floor", "null", "constant", "pixels", "energy", "mean_scene", "shuffled"} <= set(table)
    groups = pandas.read_csv(out / "rsa.csv")
    assert set(groups["by"]) == {"all", "area", "genotype_group"}
    profiles = pandas.read_csv(out / "profiles.csv")
    assert len(profiles) == 3 * 2
    about = json.loads((out / "about.json").read_text())
    assert about["command"].startswith("neurn compare --recordings") and about["versions"]["torch"]
    # Once more: nothing is computed again, and everything is the same.
    before = {path: path.read_bytes() for path in out.rglob("*.csv")}
    times = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    assert run(*settings, "--quiet", "--no-plots") == 0
    assert {path: path.read_bytes() for path in before} == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def one_layer():
    torch.manual_seed(0)
    return nn.Conv2d(3, 6, 5, stride=2)


def test_a_model_of_a_single_layer_is_not_lost(files, tmp_path, capsys):
    """Its layer has no name, which is no missing value."""
    settings = ["--recordings", *files, "--models", MODEL.replace("net", "one_layer")]
    settings += ["--input", 32, "--metrics", "rmse", "--permutations", 2, "--json"]
    assert run(*settings, "--out", tmp_path) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    said = json.loads(printed.out.splitlines()[-1])
    assert [(line["front_end"], line["layer"]) for line in said["means"]] == [
        ("none", ""),
        ("neurn", ""),
    ]
    groups = pandas.read_csv(tmp_path / "rmse_groups.csv", keep_default_na=False)
    assert set(groups["layer"]) == {""} and len(groups) == 6


def test_a_recording_that_changed_is_read_anew(tmp_path):
    """Another recording of the same size under the same name: nothing of the first is left."""
    made, scores = [], []
    for seed in (2, 3):
        simulated = mouse.simulate(
            tmp_path / str(seed), areas=["VISp"], cre_lines=["Vip-IRES-Cre"], neurons=8, seed=seed
        )
        made.append(simulated.paths[0].read_bytes())
        file = tmp_path / "a.nwb"
        file.write_bytes(made[-1])
        settings = ["--recordings", file, "--models", MODEL, "--input", 32, "--metrics", "cka"]
        settings += ["--permutations", 2, "--bootstrap", 0, "--out", tmp_path / "o", "--quiet"]
        assert run(*settings, "--no-plots") == 0
        scores.append(pandas.read_csv(tmp_path / "o" / "cka.csv")["score"])
    assert len(made[0]) == len(made[1]) and not scores[0].equals(scores[1])


def test_dry_run(files, tmp_path, capsys):
    settings = ["--recordings", *files, "--models", MODEL, "--out", tmp_path / "o", "--dry-run"]
    assert run(*settings) == 0
    printed = capsys.readouterr().out
    assert f"{MODEL}: 2 layers, as the callable makes it" in printed
    assert "front ends: none, neurn; metrics: rmse, rsa" in printed
    assert not (tmp_path / "o").exists()


def test_usage_errors(files, tmp_path, capsys):
    out = ["--out", tmp_path / "o"]
    start = ["--recordings", *files, *out]
    for arguments, text in (
        (["--models", "VGG-16"], "close to it: VGG16"),
        (["--models", MODEL, MODEL], "give each name once"),
        (["--models", MODEL, "--with", "nerun"], "unknown front end 'nerun'"),
        (["--models", MODEL, "--by", "depth"], "argument --by: must be of neuron, area"),
        (["--models", MODEL, "--device", "cuda:99"], "device must be one that torch has here"),
        (["--models", MODEL, "--layers", "conv9"], "layers must be one of conv"),
        (["--models", MODEL, "--input", 32, "--reliable", 0.999], "4 neurons or more, got 0"),
    ):
        assert run(*start, *arguments, "--quiet") == 2
        assert text in capsys.readouterr().err
    assert run("--recordings", tmp_path / "no.nwb", "--models", MODEL, *out) == 1
    assert "no.nwb" in capsys.readouterr().err


def test_thirteen_by_one_word(files, tmp_path, capsys, monkeypatch):
    from neurn import features

    made = []

    def build(name, *_):
        made.append(name)
        return features.NamedModel(net(), name, "random weights (seed 0)", 32)

    monkeypatch.setattr(features, "build", build)
    settings = ["--recordings", *files, "--models", "published", "--out", tmp_path / "o"]
    assert run(*settings, "--dry-run") == 0
    assert made == list(features.PUBLISHED)
    assert capsys.readouterr().out.count("random weights (seed 0)") == 13
