import importlib

import numpy as np
import pytest
import torch
import xarray

from neurn import mouse
from neurn.mouse import planted

blocks = importlib.import_module("neurn.mouse.representations")
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.mps.is_available()


def table(values, stimulus=None):
    stimulus = np.arange(values.shape[1]) if stimulus is None else stimulus
    return xarray.DataArray(values, dims=("neuron", "stimulus"), coords={"stimulus": stimulus})


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(1)
    return random.normal(2, 1, (5, 20)), random.uniform(0, 255, (20, 12, 18))


def brute_shrink(image, size):
    """Average over 2,520 sub-pixels of each pixel and axis... by plain sums of overlaps."""
    out = np.zeros(size)
    ry, rx = image.shape[0] / size[0], image.shape[1] / size[1]
    for i in range(size[0]):
        for j in range(size[1]):
            for y in range(image.shape[0]):
                for x in range(image.shape[1]):
                    h = min(y + 1, (i + 1) * ry) - max(y, i * ry)
                    w = min(x + 1, (j + 1) * rx) - max(x, j * rx)
                    out[i, j] += max(h, 0) * max(w, 0) * image[y, x]
    return out / (ry * rx)


@pytest.mark.parametrize("size", [(12, 18), (6, 9), (5, 7), (1, 1)])
def test_shrinking_is_area_averaging(data, size):
    small = mouse.shrink(data[1][:2], size)
    for image, ours in zip(data[1], small, strict=False):
        assert ours == pytest.approx(brute_shrink(image, size))


def test_the_product_by_hand(data):
    tuning, images = data
    maps = mouse.representations(table(tuning), images, size=(4, 6), dtype=torch.float64)
    small = np.stack([brute_shrink(image, (4, 6)) for image in images])
    for c in range(5):
        t = (tuning[c] - tuning[c].mean()) / tuning[c].std()
        for i in range(4):
            for j in range(6):
                f = (small[:, i, j] - small[:, i, j].mean()) / small[:, i, j].std()
                assert maps.values[c, i, j] == pytest.approx(sum(t * f) / 20)
    assert maps.dims == ("neuron", "y", "x")
    assert maps.attrs["mode"] == "pixel" and maps.attrs["n_images"] == 20


def test_single_precision_differs_by_rounding_only(data):
    one, two = (
        mouse.representations(table(data[0]), data[1], size=6, dtype=dtype).values
        for dtype in (torch.float32, torch.float64)
    )
    assert (one.dtype, two.dtype) == (np.float32, np.float64)
    assert one == pytest.approx(two, abs=1e-5)


@pytest.mark.parametrize("whiten", [None, "ridge"])
@pytest.mark.parametrize("device", DEVICES)
def test_every_device_gives_the_same(data, device, whiten, monkeypatch):
    many = table(np.tile(data[0], (3, 1)))
    expected = mouse.representations(many, data[1], size=6, whiten=whiten, dtype=torch.float64)
    monkeypatch.setattr(blocks, "_NEURONS_PER_BLOCK", 4)
    found = mouse.representations(many, data[1], size=6, whiten=whiten, device=torch.device(device))
    assert found.values == pytest.approx(expected.values, abs=1e-5)


def test_a_device_that_is_not_there_is_named(data):
    with pytest.raises(ValueError, match="device must be one that torch has here, got 'cuda:99'"):
        mouse.representations(table(data[0]), data[1], size=6, device="cuda:99")
    with pytest.raises(ValueError, match="device must be one that torch has here, got 'abacus'"):
        mouse.representations(table(data[0]), data[1], size=6, device="abacus")


def test_trials_are_averaged_and_the_blank_is_taken_off(data):
    random = np.random.default_rng(2)
    trials = random.normal(size=(3, 21, 4))
    trials[:, 5, 3] = np.nan
    array = xarray.DataArray(
        trials, dims=("neuron", "stimulus", "trial"), coords={"stimulus": np.arange(-1, 20)}
    )
    mean = np.nanmean(trials, axis=2)
    maps = mouse.representations(array, data[1], size=5)
    expected = mouse.representations(table(mean[:, 1:] - mean[:, :1]), data[1], size=5)
    assert maps.values == pytest.approx(expected.values, abs=1e-6)
    plain = mouse.representations(array, mode="stimulus", centre=False)
    assert plain.values[0].ravel()[:20] == pytest.approx(mean[0, 1:] - mean[0, 0], abs=1e-6)


def test_ridge_is_the_regression_of_responses_on_pixels(data):
    tuning, images = data
    maps = mouse.representations(
        table(tuning), images, size=(3, 4), whiten="ridge", dtype=torch.float64
    )
    f = mouse.shrink(images, (3, 4)).reshape(20, -1)
    f = (f - f.mean(0)) / f.std(0)
    t = tuning - tuning.mean(1, keepdims=True)
    t /= t.std(1, keepdims=True)
    strengths = maps["ridge_strength"].values * np.mean(np.sum(f**2, axis=1))
    for c in range(5):
        expected = t[c] @ f @ np.linalg.inv(f.T @ f + strengths[c] * np.eye(12))
        assert maps.values[c].ravel() == pytest.approx(expected, rel=1e-6)


def test_ridge_chooses_a_weak_strength_without_noise_and_a_strong_one_for_noise():
    random = np.random.default_rng(0)
    images = random.normal(size=(60, 4, 4))
    clean = images.reshape(60, 16) @ random.normal(size=(16, 8))
    responses = np.concatenate([clean, random.normal(size=(60, 8))], axis=1)
    maps = mouse.representations(table(responses.T), images, size=4, whiten="ridge")
    strengths = maps["ridge_strength"].values
    assert (strengths[:8] < 0.01).all() and np.median(strengths[8:]) >= 10


def test_stimulus_mode_puts_image_k_into_cell_k(data):
    maps = mouse.representations(table(data[0]), mode="stimulus", centre=False)
    assert maps.shape == (5, 5, 5)
    assert maps.values.reshape(5, -1)[:, :20] == pytest.approx(data[0], abs=1e-6)
    assert np.isnan(maps.values.reshape(5, -1)[:, 20:]).all()


def test_118_scenes_are_11_by_11(found):
    maps = mouse.representations(found["trials"], preset="paper-figure")
    assert maps.shape == (8, 11, 11)
    assert maps.attrs["preset"] == "paper-figure" and maps.attrs["mode"] == "stimulus"
    assert np.nanmin(maps.values) == 0 and np.nanmax(maps.values) == 1


def test_the_presets_are_settings(data):
    text = mouse.representations(table(data[0]), data[1], size=6, preset="paper-text")
    product = data[0] @ mouse.shrink(data[1], (6, 6)).reshape(20, -1) / 20
    low, high = product.min(1, keepdims=True), product.max(1, keepdims=True)
    expected = (product - low) / (high - low)
    assert text.values.reshape(5, -1) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("normalize", ["zscore", "minmax", "l2"])
def test_normalizations(data, normalize):
    maps = mouse.representations(table(data[0]), data[1], size=6, normalize=normalize)
    flat = maps.values.reshape(5, -1)
    measured = {
        "zscore": (flat.mean(1), flat.std(1), (0, 1)),
        "minmax": (flat.min(1), flat.max(1), (0, 1)),
        "l2": (np.linalg.norm(flat, axis=1), 0, (1, 0)),
    }[normalize]
    assert measured[0] == pytest.approx(measured[2][0], abs=1e-5)
    assert measured[1] == pytest.approx(measured[2][1], abs=1e-5)


def test_neurons_and_pixels_that_never_vary_give_zeros(data):
    tuning, images = data[0].copy(), data[1].copy()
    tuning[0], images[:, 0, 0] = 3, 7
    maps = mouse.representations(table(tuning), images, size=(12, 18), normalize="zscore").values
    assert (maps[0] == 0).all() and np.isfinite(maps).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("normalize", ["none", "zscore", "minmax", "l2"])
@pytest.mark.parametrize("whiten", [None, "ridge"])
def test_a_neuron_without_responses_has_no_map_and_none_is_made_up(data, whiten, normalize):
    tuning = data[0].copy()
    tuning[1] = np.nan
    settings = {"size": 6, "whiten": whiten, "normalize": normalize}
    maps = mouse.representations(table(tuning), data[1], **settings).values
    assert np.isnan(maps[1]).all()
    whole = mouse.representations(table(data[0]), data[1], **settings).values
    assert maps[[0, 2, 3, 4]] == pytest.approx(whole[[0, 2, 3, 4]], abs=1e-6)
    cells = mouse.representations(table(tuning), mode="stimulus", normalize=normalize).values
    assert np.isnan(cells[1]).all() and np.isfinite(cells[0].ravel()[:20]).all()


def test_images_without_a_response_are_left_out_for_that_neuron(data):
    tuning, images = data[0].copy(), data[1]
    tuning[2, [4, 11]] = np.nan
    maps = mouse.representations(table(tuning), images, size=(12, 18), dtype=torch.float64).values
    there = np.delete(np.arange(20), [4, 11])
    z = (tuning[2, there] - tuning[2, there].mean()) / tuning[2, there].std()
    f = (images - images.mean(0)) / images.std(0)
    assert maps[2] == pytest.approx(np.einsum("i,iyx->yx", z, f[there]) / 18)
    whole = mouse.representations(table(data[0]), images, size=(12, 18), dtype=torch.float64)
    assert np.delete(maps, 2, 0) == pytest.approx(np.delete(whole.values, 2, 0))
    one = mouse.representations(table(tuning[2:3]), images, size=6, whiten="ridge")
    filled = tuning[2:3].copy()
    filled[0, [4, 11]] = np.nanmean(filled)
    other = mouse.representations(table(filled), images, size=6, whiten="ridge")
    # The same map but for its scale: filling changes the deviation.
    assert np.corrcoef(one.values.ravel(), other.values.ravel())[0, 1] > 1 - 1e-6


def test_rounding_is_not_taken_for_a_response(data):
    maps = mouse.representations(table(np.full((1, 20), 0.1)), data[1], size=6)
    assert (maps.values == 0).all()


def test_what_is_no_table_of_responses_is_named(data):
    for given, name in ((data[0], "ndarray"), ("a.nwb", "str"), (table(data[0])[0], "DataArray")):
        with pytest.raises(ValueError, match=f"recording must be a Recording or .* got {name}"):
            mouse.representations(given, data[1])


def test_sizes_of_numpy_and_in_lists(data):
    maps = mouse.representations(table(data[0]), data[1], size=np.int64(6))
    assert maps.shape == (5, 6, 6)
    assert mouse.representations(table(data[0]), data[1], size=[4, 6]).shape == (5, 4, 6)


def test_a_recording_brings_its_images(recording, found):
    maps = mouse.representations(recording, size=7)
    given = mouse.representations(found["trials"], recording.images(), size=7)
    xarray.testing.assert_identical(maps, given)
    assert maps.attrs["simulated"] == 1 and (maps["area"] == "VISp").all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mode": "space"}, "mode must be one of pixel, stimulus, got 'space'"),
        ({"normalize": "max"}, "normalize must be one of none, zscore, minmax, l2, got 'max'"),
        ({"preset": "paper"}, "preset must be one of paper-text, paper-figure, got 'paper'"),
        ({"whiten": "pca"}, "whiten must be one of ridge, got 'pca'"),
        ({"mode": "stimulus", "whiten": "ridge"}, "whiten='ridge' needs mode='pixel'"),
        ({"size": 0}, "size must be a positive whole number or two, got 0"),
        ({"size": 2.5}, r"size must be a positive whole number or two, got 2\.5"),
        ({"size": "7"}, "size must be a positive whole number or two, got '7'"),
        ({"dtype": torch.int32}, r"dtype must be torch.float32 or torch.float64, got torch.int32"),
        ({"size": 13}, r"size \(13, 13\) is larger than the images, \(12, 18\)"),
        ({"mode": "stimulus", "size": 4}, "size must have a cell for each of 20 images, got 16"),
        ({"images": None}, "images must be given beside responses"),
        ({"images": np.zeros((20, 4))}, r"images must have shape \(images, height, width\), got"),
        ({"images": np.zeros((3, 4, 4))}, "images must hold one of number 19, which was shown"),
    ],
)
def test_wrong_arguments_are_named(data, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        mouse.representations(table(data[0]), **{"images": data[1], "size": 6, **settings})


def test_one_image_is_too_few(data):
    with pytest.raises(ValueError, match="responses must be to 2 images or more, got 1"):
        mouse.representations(table(data[0][:, :1]), data[1])


def test_a_planted_gabor_is_recovered_from_real_scenes(real):
    scenes = real("allen_scenes_118x31x31.npz")["scenes"].astype(float)
    y, x = planted._grid()
    envelope = np.exp(-(x**2 + y**2) / (2 * 7.2**2))
    flat = scenes.reshape(118, -1)
    flat = (flat - flat.mean(0)) / flat.std(0)
    fields = np.stack(
        [
            planted._unit(
                envelope * np.cos(2 * np.pi * (x * np.cos(a) + y * np.sin(a)) / 18), envelope
            )
            for a in np.linspace(0, np.pi, 6)
        ]
    )
    white = mouse.representations(table(fields @ flat.T), scenes, whiten="ridge")
    plain = mouse.representations(table(fields @ flat.T), scenes)
    for field, one, other in zip(fields, white.values, plain.values, strict=True):
        assert np.corrcoef(field, one.ravel())[0, 1] > 0.9
        assert np.corrcoef(field, one.ravel())[0, 1] > np.corrcoef(field, other.ravel())[0, 1]


def test_maps_of_real_scenes_are_smooth_in_pixels_and_not_in_scenes(real):
    scenes = real("allen_scenes_118x31x31.npz")["scenes"].astype(float)
    tuning = table(np.random.default_rng(0).normal(size=(40, 118)))

    def neighbours(maps):
        pairs = maps[:, :, :-1].ravel(), maps[:, :, 1:].ravel()
        keep = ~np.isnan(pairs[0]) & ~np.isnan(pairs[1])
        return np.corrcoef(pairs[0][keep], pairs[1][keep])[0, 1]

    pixel = mouse.representations(tuning, scenes, size=11, normalize="zscore").values
    stimulus = mouse.representations(tuning, mode="stimulus").values
    assert neighbours(pixel) == pytest.approx(0.75, abs=0.1)
    assert abs(neighbours(stimulus)) < 0.05


@pytest.mark.parametrize(("region", "expected"), [(1, 0.153), (2, 0.117), (3, 0.163)])
def test_real_images_and_real_trials_are_in_one_order(real, region, expected):
    from scipy import stats

    data = real("antolik2016_v1_validation.npz")
    images = data[f"images{region}"].reshape(50, -1).astype(float)
    trials = data[f"trials{region}"].mean(axis=0).T
    tuning = mouse.representations(table(trials), mode="stimulus").values.reshape(len(trials), -1)
    upper = np.triu_indices(50, 1)
    pixels = np.corrcoef(images - images.mean(0))[upper]
    neural = np.corrcoef(tuning[:, :50].T)[upper]
    assert stats.spearmanr(pixels, neural)[0] == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ("VISp_layer23", 0.100),
        ("VISp_layer4", 0.107),
        ("VISl_layer4", 0.156),
        ("VISpm_layer4", 0.185),
        ("VISal_layer23", 0.113),
        ("VISrl_layer4", 0.022),
    ],
)
def test_real_scenes_and_real_similarities_are_in_one_order(real, site, expected):
    from scipy import stats

    data = real("allen_site_similarity_21x119x119.npz")
    scenes = real("allen_scenes_118x31x31.npz")["scenes"].reshape(118, -1).astype(float)
    upper = np.triu_indices(118, 1)
    pixels = np.corrcoef(scenes - scenes.mean(0))[upper]
    place = [str(name) for name in data["site"]].index(site)
    neural = data["similarity"][place][:118, :118][upper]
    assert stats.spearmanr(pixels, neural)[0] == pytest.approx(expected, abs=0.001)
