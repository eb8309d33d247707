import sys

import numpy as np
import pytest
import xarray

from neurn import mouse

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def maps():
    """Three clear clusters in each class."""
    random = np.random.default_rng(0)
    centres = 10 * random.normal(size=(3, 1, 16))
    values = np.tile((centres + random.normal(size=(3, 20, 16))).reshape(60, 4, 4), (2, 1, 1))
    return xarray.DataArray(
        values,
        dims=("neuron", "y", "x"),
        coords={
            "cell_class": ("neuron", ["excitatory"] * 60 + ["inhibitory"] * 60),
            "area": ("neuron", ["VISp", "VISl", "VISl"] * 40),
        },
        attrs={"simulated": 1},
    )


def test_the_nearest_to_each_centre(maps):
    found = mouse.select(maps, excitatory=15, inhibitory=30, per_cluster=5, embedding="pca")
    assert (len(found), found.embedded_by, found.simulated) == (45, "pca", True)
    assert (found.index[:15] < 60).all() and (found.index[15:] >= 60).all()
    true = np.arange(60) // 20
    excitatory = found.cluster[:60]
    assert len(set(zip(true.tolist(), excitatory.tolist(), strict=True))) == 3
    for k in range(3):
        members = np.flatnonzero(excitatory == k)
        points = found.embedding[members]
        distance = np.linalg.norm(points - points.mean(0), axis=1)
        nearest = set(members[np.argsort(distance)[:5]].tolist())
        assert nearest == set(found.index[:15].tolist()) & set(members.tolist())
    assert found.cluster[60:].min() == 3
    assert "45 of 120 neurons: clusters (pca), seed 0" in repr(found)


def test_a_small_cluster_is_filled_up_by_others(maps):
    found = mouse.select(maps, excitatory=50, inhibitory=0, per_cluster=25, embedding="pca")
    assert len(found) == len(set(found.index.tolist())) == 50


def test_umap_where_it_is_installed(maps):
    pytest.importorskip("umap")
    found = mouse.select(maps, excitatory=15, inhibitory=0, per_cluster=5, seed=3)
    assert found.embedded_by == "umap"
    again = mouse.select(maps, excitatory=15, inhibitory=0, per_cluster=5, seed=3)
    assert (found.index == again.index).all()


def test_pca_where_umap_is_missing(maps, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    found = mouse.select(maps, excitatory=15, inhibitory=0, per_cluster=5)
    assert found.embedded_by == "pca"
    with pytest.raises(mouse.MissingExtraError, match=r"pip install 'neurn\[umap\]'"):
        mouse.select(maps, excitatory=15, inhibitory=0, embedding="umap")


def test_plain_rules(maps):
    random = mouse.select(maps, excitatory=10, inhibitory=7, method="random", seed=1)
    assert (len(random), random.embedded_by) == (17, "none")
    assert (random.cluster == -1).all()
    assert repr(random).endswith("random, seed 1>")
    reliability = np.linspace(0, 1, 120)
    good = mouse.select(
        maps, excitatory=10, inhibitory=10, method="reliable", reliability=reliability
    )
    assert (reliability[good.index] >= 0.3).all()
    even = mouse.select(maps, excitatory=20, inhibitory=0, method="matched")
    areas = maps["area"].values[even.index]
    assert (areas == "VISp").sum() == (areas == "VISl").sum() == 10


def test_stability_is_one_for_clear_clusters(maps):
    found = mouse.stability(
        maps, range(3), excitatory=15, inhibitory=15, per_cluster=5, embedding="pca"
    )
    assert found == pytest.approx(np.ones((3, 3)))


def test_nobody_is_a_selection_as_well(maps):
    assert len(mouse.select(maps, excitatory=0, inhibitory=0)) == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"method": "best"}, "method must be one of clusters, random, reliable, matched, got"),
        ({"embedding": "tsne"}, "embedding must be one of auto, umap, pca, got 'tsne'"),
        ({"per_cluster": 0}, "per_cluster must be at least 1, got 0"),
        ({"excitatory": 61}, "excitatory must be from 0 to 60, its neurons, got 61"),
        ({"method": "reliable"}, "reliability must be given with method='reliable'"),
        (
            {"method": "reliable", "reliability": [1]},
            r"reliability must have shape \(120,\), got \(1,\)",
        ),
        (
            {"method": "matched", "excitatory": 1},
            "matched: 1 neurons cannot be shared by 2 areas",
        ),
    ],
)
def test_wrong_arguments_are_named(maps, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        mouse.select(maps, **{"excitatory": 10, "inhibitory": 10, **settings})
