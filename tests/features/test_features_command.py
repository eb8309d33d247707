import json

import numpy as np
import pytest
import torch
from torch import nn

from neurn import cli, features

MODEL = "tests.features.test_features_command:net"


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.Conv2d(6, 8, 3))


def run(*arguments):
    return cli.main(["features", *map(str, arguments)])


def test_features_as_a_file(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 20), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    out = tmp_path / "features.npz"
    given = [MODEL, "--images", tmp_path / "images.npy", "--out", out, "--with", "neurn"]
    assert run(*given, "--reduce", "mean", "--cache", tmp_path / "cache") == 0
    assert "behind neurn, as the callable makes it: 2 layers" in capsys.readouterr().out
    with np.load(out) as stored:
        about = json.loads(str(stored["about"]))
        assert about["layers"] == ["0", "2"] and about["front_end"] == "neurn"
        behind = features.with_front_end(net(), "neurn")
        expected = features.extract(behind, images, reduce="mean")
        np.testing.assert_allclose(stored["layer1"], expected["2"].values, atol=1e-6)
    np.savez(tmp_path / "images.npz", images)
    assert run(MODEL, "--images", tmp_path / "images.npz", "--out", out, "--layers", "2") == 0
    content = out.read_bytes()
    assert run(MODEL, "--images", tmp_path / "images.npz", "--out", out, "--layers", "2") == 0
    assert out.read_bytes() == content


def test_from_a_recording(tmp_path):
    pytest.importorskip("h5py", reason="the extra mouse is not installed")
    from neurn import mouse

    made = mouse.simulate(tmp_path, areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=3)
    out = tmp_path / "features.npz"
    assert run(MODEL, "--images", made.paths[0], "--out", out, "--input", 24, "--quiet") == 0
    with np.load(out) as stored:
        assert stored["layer0"].shape == (118, 6, 20, 20)
        assert json.loads(str(stored["about"]))["simulated"] == 1


def test_names_and_layers(capsys):
    assert run() == 0
    assert capsys.readouterr().out.split() == list(features.PUBLISHED)
    assert run(MODEL, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [f"{MODEL}: as the callable makes it", "0", "2"]


def test_usage_errors(tmp_path, capsys):
    np.savez(tmp_path / "two.npz", np.zeros((2, 9, 9)), np.zeros((2, 9, 9)))
    out = ["--out", tmp_path / "o.npz"]
    for arguments, text in (
        ([MODEL, *out], "argument --images: give a file .nwb, .npy, .npz, got None"),
        ([MODEL, "--images", "a.npy", "--out", "a.csv"], "argument --out: give a file .npz"),
        ([MODEL, "--images", tmp_path / "two.npz", *out], "must hold one array"),
        (["VGG-16"], "close to it: VGG16"),
    ):
        assert run(*arguments) == 2
        assert text in capsys.readouterr().err
    assert run(MODEL, "--images", tmp_path / "no.npy", *out) == 1
    assert "there is no file" in capsys.readouterr().err
