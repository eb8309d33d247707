import numpy as np
import pytest

from neurn import compare
from neurn.compare import moments
from neurn.compare.rdm import COMPARISONS
from tests.compare.cases import labelled, planted

METHODS = ["corr", "cosine", "spearman", "rho-a", "tau-a", "tau-b", "kendall"]


@pytest.fixture(scope="module")
def toolbox():
    return pytest.importorskip("rsatoolbox", reason="rsatoolbox is not installed")


def theirs_of(toolbox, matrices):
    return toolbox.rdm.RDMs(np.asarray(matrices))


@pytest.mark.parametrize("method", ["correlation", "euclidean", "poisson", "mahalanobis"])
def test_rdm_as_rsatoolbox(toolbox, random, method):
    data = random.random((12, 30)) + 0.1
    noise = None
    if method == "mahalanobis":
        noise = np.cov(random.standard_normal((30, 90)))
    theirs = toolbox.rdm.calc_rdm(toolbox.data.Dataset(data), method=method, noise=noise)
    ours = compare.rdm(data, method, noise=noise)
    np.testing.assert_allclose(ours, theirs.get_matrices()[0], atol=1e-9)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")  # rsatoolbox's own
@pytest.mark.parametrize("noise", [None, "diagonal", "full"])
def test_crossnobis_as_rsatoolbox(toolbox, random, noise):
    data = random.standard_normal((8, 20, 4))  # scenes, channels, repetitions
    flat = np.concatenate([data[..., k] for k in range(4)])
    dataset = toolbox.data.Dataset(
        flat,
        obs_descriptors={"scene": np.tile(np.arange(8), 4), "trial": np.repeat(np.arange(4), 8)},
    )
    precision = None
    if noise == "diagonal":
        precision = 1 / (0.5 + random.random(20))
    elif noise == "full":
        precision = np.linalg.inv(np.cov(random.standard_normal((20, 80))))
    given = np.diag(precision) if noise == "diagonal" else precision
    theirs = toolbox.rdm.calc_rdm(
        dataset, method="crossnobis", descriptor="scene", cv_descriptor="trial", noise=given
    )
    ours = compare.rdm(data, "crossnobis", noise=precision)
    np.testing.assert_allclose(ours, theirs.get_matrices()[0], atol=1e-9)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_crossed_poisson_is_the_mean_of_rsatoolbox_over_folds(toolbox, random):
    """It returns what its last fold gives: each repetition is made the last one here."""
    data = random.random((8, 20, 3)) + 0.1
    folds = []
    for last in range(3):
        order = [k for k in range(3) if k != last] + [last]
        dataset = toolbox.data.Dataset(
            np.concatenate([data[..., k] for k in order]),
            obs_descriptors={"s": np.tile(np.arange(8), 3), "t": np.repeat(np.arange(3), 8)},
        )
        one = toolbox.rdm.calc_rdm(dataset, "poisson_cv", descriptor="s", cv_descriptor="t")
        folds.append(one.get_matrices()[0])
    np.testing.assert_allclose(compare.rdm(data, "poisson_cv"), np.mean(folds, 0), atol=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("method", COMPARISONS)
def test_comparisons_as_rsatoolbox(toolbox, random, method, ties):
    a, b = (
        np.array([compare.rdm(random.random((9, 15)), "euclidean") for _ in range(k)])
        for k in (3, 2)
    )
    if ties:
        a, b = np.round(a, 1), np.round(b, 1)
    if ties and method == "neg_riem_dist":  # what is rounded belongs to no patterns
        with pytest.raises(ValueError, match="must be positive definite"):
            compare.compare_rdms(a, b, method)
        return
    theirs = toolbox.rdm.compare(theirs_of(toolbox, a), theirs_of(toolbox, b), method=method)
    np.testing.assert_allclose(compare.compare_rdms(a, b, method), theirs, atol=1e-6)
    one = compare.compare_rdms(a[0], b[1], method)
    assert isinstance(one, float) and one == pytest.approx(theirs[0, 1], abs=1e-6)


@pytest.mark.parametrize("method", ["corr", "spearman", "tau-a", "rho-a", "cosine"])
def test_missing_pairs_as_rsatoolbox(toolbox, random, method):
    a, b = (compare.rdm(random.random((9, 15)), "euclidean") for _ in range(2))
    for m in (a, b):  # rsatoolbox takes pairs that are missing from both
        m[1, 4] = m[4, 1] = np.nan
    theirs = toolbox.rdm.compare(
        theirs_of(toolbox, a[None]), theirs_of(toolbox, b[None]), method=method
    )
    assert compare.compare_rdms(a, b, method) == pytest.approx(theirs[0, 0], abs=1e-6)


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau")
@pytest.mark.parametrize("method", [m for m in COMPARISONS if m not in moments.COMPARISONS])
def test_noise_ceiling_as_rsatoolbox(toolbox, random, method):
    signal = random.random((10, 12))
    rdms = np.array(
        [
            compare.rdm(scale * (signal + noise * random.random((10, 12))), "euclidean")
            for scale, noise in ((1, 0.1), (0.2, 0.3), (2, 1), (1, 3), (5, 0.5))
        ]
    )
    low, high = toolbox.inference.boot_noise_ceiling(theirs_of(toolbox, rdms), method=method)
    np.testing.assert_allclose(compare.noise_ceiling(rdms, method), (low, high), atol=1e-6)


def test_recovers_a_planted_geometry(random):
    trials, activity, _ = planted(random, neurons=60, noise=0.3)
    data = labelled(trials)
    table = compare.rsa(data, activity, permutations=99, bootstrap=20, by="area")
    assert table["group"].tolist() == ["VISl", "VISp"] and (table["n"] == 30).all()
    assert (table["n_mice"] == 2).all() and (table["p"] == 0.01).all()
    assert ((table["low"] < table["score"]) & (table["score"] < table["high"] + 0.1)).all()
    assert (table["ceiling_low"] <= table["ceiling_high"]).all()
    shuffled = compare.rsa(data, random.permutation(activity), permutations=99, bootstrap=0)
    assert abs(shuffled["z"][0]) < 3 and shuffled["p"][0] > 0.01
    assert np.isnan(shuffled["low"][0])


def test_crossnobis_from_trials_is_about_zero_for_noise(random):
    noise = random.standard_normal((50, 12, 6))
    found = compare.rdm(noise.transpose(1, 0, 2), "crossnobis")
    assert abs(found[np.triu_indices(12, 1)].mean()) < 0.05
    trials, activity, _ = planted(random, neurons=60, noise=0.3)
    for method in ("crossnobis", "mahalanobis"):
        table = compare.rsa(trials, activity, method=method, permutations=20, bootstrap=3)
        assert table["score"][0] > 0.5 and table["rdm"][0] == method
    with pytest.raises(ValueError, match="needs single trials"):
        compare.rsa(trials.mean(2), activity, method="crossnobis")
    trials[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="needs every trial"):
        compare.rsa(trials, activity, method="crossnobis")


@pytest.mark.parametrize("comparison", moments.COMPARISONS)
def test_second_moments_recover_a_planted_geometry(random, comparison):
    trials, activity, _ = planted(random, neurons=60, noise=0.3, scenes=12, features=30)
    found = compare.rsa(
        trials, activity, method="euclidean", comparison=comparison, permutations=19, bootstrap=4
    ).iloc[0]
    assert found["p"] == 0.05 and found["low"] <= found["score"] <= found["high"]
    assert np.isnan(found["ceiling_low"])
    known = compare.rsa_of_rdms(
        compare.rdm(trials.mean(2).T, "euclidean"),
        compare.rdm(activity, "euclidean"),
        comparison=comparison,
        permutations=19,
    )
    assert known["score"] == pytest.approx(found["score"]) and known["p"] == 0.05


def test_rates_of_single_trials(random):
    rates = 5 * random.random((20, 15)) + 0.5
    trials = random.poisson(rates.T[..., None], (15, 20, 6))
    found = compare.rsa(trials, rates, method="poisson_cv", permutations=19, bootstrap=3)
    assert found["score"][0] > 0.6 and found["p"][0] == 0.05


def test_ceiling_of_one_mouse_is_that_of_its_trials(random):
    trials, activity, _ = planted(random, neurons=200, noise=1.0, features=10)
    table = compare.rsa(trials, activity, permutations=0, bootstrap=0, comparison="corr")
    assert table["ceiling_low"][0] < table["ceiling_high"][0] <= 1
    truth = compare.rdm(trials.mean(2).T)
    assert table["score"][0] == pytest.approx(
        compare.compare_rdms(truth, compare.rdm(activity)), abs=1e-12
    )


def test_covariances_keep_their_scenes(random):
    trials, activity, _ = planted(random)
    table = compare.rsa(trials, activity, comparison="corr_cov", permutations=5, bootstrap=5)
    assert table["low"][0] < table["high"][0]


def test_groups_that_are_too_small_are_shown(random):
    trials, activity, _ = planted(random)
    labels = np.array(["one"] + ["many"] * 29)
    table = compare.rsa(trials, activity, by=labels, permutations=3, bootstrap=2)
    small = table[table["group"] == "one"].iloc[0]
    assert np.isnan(small["score"]) and small["n"] == 1
    unknown = compare.cka(trials, activity, by=[None] * 29 + ["a"], permutations=0, bootstrap=0)
    assert unknown["group"].tolist() == ["a", "unknown"]
    many = compare.cka(trials, activity, by=[10] * 15 + [9] * 15, permutations=0, bootstrap=0)
    assert many["group"].tolist() == ["9", "10"]
    with pytest.raises(ValueError, match="by must be one of the neurons' columns, neuron"):
        compare.rsa(trials, activity, by="area")
    with pytest.raises(ValueError, match="a label for each of 30"):
        compare.rsa(trials, activity, by=labels[1:])


def test_errors(random):
    trials, activity, _ = planted(random)
    with pytest.raises(ValueError, match="4 scenes or more, got 3"):
        compare.rsa(trials[:, :3], activity[:3])
    with pytest.raises(ValueError, match="comparison must be one of corr"):
        compare.rsa(trials, activity, comparison="pearson")
    with pytest.raises(ValueError, match="resample must be one of"):
        compare.rsa(trials, activity, resample=("mouse",))
    with pytest.raises(ValueError, match="must vary over channels within each scene"):
        compare.rdm(np.ones((4, 5)))
    with pytest.raises(ValueError, match="must be rates, not negative, and both priors above 0"):
        compare.rdm(activity, "poisson")
    with pytest.raises(ValueError, match="data must have 3 axes"):
        compare.rdm(activity, "crossnobis")
    with pytest.raises(ValueError, match="2 repetitions or more"):
        compare.rdm(activity[..., None], "crossnobis")
    with pytest.raises(ValueError, match="noise must have shape"):
        compare.rdm(activity, "mahalanobis", noise=np.ones(3))
    with pytest.raises(ValueError, match="data must be finite"):
        compare.rdm(np.full((4, 4), np.nan))
    with pytest.raises(ValueError, match="of the same scenes"):
        compare.compare_rdms(np.ones((4, 4)), np.ones((5, 5)))
    with pytest.raises(ValueError, match="an RDM must be square"):
        compare.compare_rdms(np.ones((4, 5)), np.ones((4, 4)))
    with pytest.raises(ValueError, match="share 3 pairs"):
        compare.compare_rdms(np.full((4, 4), np.nan), np.ones((4, 4)))
    gap = compare.rdm(activity[:6])
    gap[0, 1] = np.nan
    with pytest.raises(ValueError, match="needs RDMs without NaN"):
        compare.compare_rdms(gap, gap, "corr_cov")
    with pytest.raises(ValueError, match="needs RDMs without NaN"):
        compare.compare_rdms(gap, gap, "bures")
    with pytest.raises(ValueError, match="needs RDMs of more channels than scenes"):
        narrow = compare.rdm(activity[:8, :3], "euclidean")
        compare.compare_rdms(narrow, narrow, "neg_riem_dist")
    with pytest.raises(ValueError, match="rdms must be 2 or more"):
        compare.noise_ceiling(gap)
    with pytest.raises(ValueError, match="method must be one of corr"):
        compare.noise_ceiling([activity, activity], "bures")
    with pytest.raises(ValueError, match="RDMs must both be"):
        compare.rsa_of_rdms(gap, gap[1:])


SITES = {
    "VISp_layer23": 0.100,
    "VISp_layer4": 0.107,
    "VISl_layer4": 0.156,
    "VISpm_layer4": 0.185,
    "VISal_layer23": 0.113,
    "VISrl_layer4": 0.022,
}


def test_real_pixel_anchors_of_the_allen_sites(real):
    """Known Spearman correlations of pixels and real sites."""
    scenes = real("allen_scenes_118x31x31.npz")["scenes"].reshape(118, -1).astype(float)
    sites = real("allen_site_similarity_21x119x119.npz")
    pixel = compare.rdm(scenes - scenes.mean(axis=0))
    for name, expected in SITES.items():
        similarity = sites["similarity"][list(sites["site"]).index(name), :118, :118]
        one = compare.rsa_of_rdms(1 - similarity, pixel, permutations=50, bootstrap=10)
        assert one["score"] == pytest.approx(expected, abs=0.0011), name
        assert one["low"] < one["score"] < one["high"]
    assert one["p"] < 0.5


def test_real_pixel_anchors_of_antolik(real):
    data = real("antolik2016_v1_validation.npz")
    for region, expected in ((1, 0.153), (2, 0.117), (3, 0.163)):
        trials = data[f"trials{region}"].transpose(2, 1, 0)  # neuron, scene, trial
        pixels = data[f"images{region}"].reshape(50, -1).astype(float)
        settings = {"permutations": 50, "bootstrap": 0}
        table = compare.rsa(_standard(trials), pixels - pixels.mean(axis=0), **settings)
        assert table["score"][0] == pytest.approx(expected, abs=0.006)
        assert table["p"][0] == 1 / 51 and table["score"][0] < table["ceiling_high"][0]


def _standard(trials):
    mean = trials.mean(axis=2)
    shift, scale = mean.mean(axis=1), mean.std(axis=1)
    return (trials - shift[:, None, None]) / scale[:, None, None]
