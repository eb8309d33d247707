import importlib.util
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import xarray

from neurn import mouse

pytest.importorskip("sklearn")

AREAS = ("VISp", "VISl", "VISrl")


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


def test_umap_where_it_is_installed(maps, tmp_path):
    if importlib.util.find_spec("umap") is None:
        pytest.skip("umap is not installed")
    maps.to_netcdf(tmp_path / "maps.nc", engine="h5netcdf")
    script = """if True:
        import sys, xarray
        from neurn import mouse
        maps = xarray.load_dataarray(sys.argv[1], engine="h5netcdf")
        for _ in range(2):
            chosen = {"excitatory": 15, "inhibitory": 0, "per_cluster": 5, "seed": 3}
            found = mouse.select(maps, **chosen)
            print(found.embedded_by, *found.index)
    """
    # umap compiles for half a minute what takes seconds as it stands.
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "maps.nc")],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    once, again = done.stdout.splitlines()
    assert once == again
    embedded_by, *index = once.split()
    assert embedded_by == "umap"
    assert len(set(index)) == 15 and max(map(int, index)) < 60


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


@pytest.fixture(scope="module")
def confounded():
    """Areas and classes whose neurons differ in number and reliability; three have none."""
    random = np.random.default_rng(1)
    groups = [
        ("excitatory", "VISp", 400, 0.6),
        ("excitatory", "VISl", 250, 0.5),
        ("excitatory", "VISrl", 150, 0.3),
        ("inhibitory", "VISp", 200, 0.5),
        ("inhibitory", "VISrl", 120, 0.4),
    ]
    kind, area = (np.concatenate([np.repeat(g[i], g[2]) for g in groups]) for i in (0, 1))
    reliability = np.concatenate([random.normal(g[3], 0.2, g[2]) for g in groups])
    reliability[:3] = np.nan
    maps = xarray.DataArray(
        np.zeros((len(kind), 2, 2)),
        dims=("neuron", "y", "x"),
        coords={"cell_class": ("neuron", kind), "area": ("neuron", area)},
    )
    return maps, reliability


def test_matched_groups_are_alike_in_number_and_reliability(confounded):
    maps, reliability = confounded
    found = mouse.select(
        maps, excitatory=90, inhibitory=60, method="matched", reliability=reliability, seed=2
    )
    area, kind = (maps[name].values[found.index] for name in ("area", "cell_class"))
    values = reliability[found.index]
    assert len(found) == len(set(found.index.tolist())) == 150 and not np.isnan(values).any()
    chosen = [
        values[(kind == k) & (area == a)] for k in ("excitatory", "inhibitory") for a in AREAS
    ]
    chosen = [group for group in chosen if len(group)]
    assert [len(group) for group in chosen] == [30] * 5
    steps = [np.sort(np.floor(group / 0.05)) for group in chosen]
    assert all((other == steps[0]).all() for other in steps)
    # What is matched differs by less than a step; at random it does not.
    assert np.ptp([group.mean() for group in chosen]) < 0.03
    plain = mouse.select(maps, excitatory=90, inhibitory=60, method="random", seed=2)
    means = [
        np.nanmean(reliability[plain.index][maps["area"].values[plain.index] == a]) for a in AREAS
    ]
    assert np.ptp(means) > 0.1


def test_matched_takes_what_all_groups_can_share(confounded):
    maps, reliability = confounded
    found = mouse.select(
        maps, excitatory=700, inhibitory=0, method="matched", reliability=reliability
    )
    area = maps["area"].values
    known = (maps["cell_class"].values == "excitatory") & ~np.isnan(reliability)
    step = np.floor(reliability / 0.05)
    most = sum(
        min(((area == a) & known & (step == s)).sum() for a in AREAS)
        for s in np.unique(step[known])
    )
    counts = np.unique(area[found.index], return_counts=True)[1]
    assert 0 < most < 150 and (counts == most).all() and len(counts) == 3


def test_groups_that_are_matched_can_be_chosen(confounded):
    maps, reliability = confounded
    maps = maps.assign_coords(layer=("neuron", np.resize(["L4", "L5"], maps.sizes["neuron"])))
    found = mouse.select(
        maps, excitatory=60, inhibitory=60, method="matched", reliability=reliability, by="layer"
    )
    labels = zip(
        maps["cell_class"].values[found.index], maps["layer"].values[found.index], strict=True
    )
    assert sorted(Counter(labels).values()) == [30] * 4


def test_neurons_without_a_map_are_not_chosen(maps):
    gone = maps.copy(deep=True)
    gone[:20] = np.nan
    for method in ("random", "clusters"):
        found = mouse.select(gone, excitatory=40, inhibitory=0, method=method, embedding="pca")
        assert found.index.tolist() == list(range(20, 60))
    with pytest.raises(ValueError, match="excitatory must be from 0 to 40, its neurons, got 41"):
        mouse.select(gone, excitatory=41, inhibitory=0)


def test_what_is_no_array_of_maps_is_named(maps):
    for given in (maps.values, maps.drop_vars("cell_class"), maps.isel(x=0)):
        with pytest.raises(ValueError, match=r"representations must be a DataArray \(neuron, y, x"):
            mouse.select(given)


def test_a_table_of_every_neuron(maps):
    found = mouse.select(maps, excitatory=15, inhibitory=30, per_cluster=5, embedding="pca", seed=4)
    frame = found.to_frame(maps)
    assert len(frame) == 120 and frame["place"].tolist() == list(range(120))
    assert np.flatnonzero(frame["chosen"]).tolist() == found.index.tolist()
    assert (frame[["embedding_1", "embedding_2"]].values == found.embedding).all()
    assert (frame["area"].values == maps["area"].values).all()
    assert (
        frame["simulated"].all()
        and set(frame["seed"]) == {4}
        and set(frame["method"]) == {"clusters"}
    )


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
        ({"method": "matched"}, "reliability must be given with method='matched'"),
        (
            {"method": "matched", "excitatory": 1, "reliability": np.zeros(120)},
            "matched: 1 excitatory neurons cannot be shared by 2 groups, each of which has 20",
        ),
        (
            {"method": "matched", "reliability": np.arange(120) / 120},
            "cannot be shared by 2 groups, each of which has 0 of a reliability that all have",
        ),
        (
            {"method": "matched", "reliability": np.zeros(120), "by": "depth"},
            "by must be a coordinate of the neurons, got 'depth'",
        ),
    ],
)
def test_wrong_arguments_are_named(maps, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        mouse.select(maps, **{"excitatory": 10, "inhibitory": 10, **settings})
