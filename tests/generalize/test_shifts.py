import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurn.generalize import EvaluationSet, curve, shift, shifts
from neurn.generalize.datasets import random_generator
from neurn.generalize.shifts import (
    add_noise,
    blend,
    gratings,
    invert,
    random_patches,
    scale_contrast,
    standard_shifts,
    texture,
)

IMAGES = arrays(np.uint8, (2, 3, 5, 4))
RANDOM = {"blended", "textured", "low_contrast_noisy", "noisy"}


@pytest.fixture
def photos():
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(2)]


@pytest.fixture
def test_set():
    rng = np.random.default_rng(2)
    grey = rng.integers(0, 256, (20, 1, 16, 16), dtype=np.uint8)
    return EvaluationSet("digits", np.repeat(grey, 3, axis=1), np.arange(20) % 10)


@given(IMAGES, IMAGES)
def test_blend_is_the_absolute_difference(images, patches):
    expected = [abs(int(p) - int(i)) for p, i in zip(patches.ravel(), images.ravel(), strict=True)]
    blended = blend(images, patches)
    assert blended.dtype == np.uint8
    assert blended.ravel().tolist() == expected


@given(IMAGES)
def test_blend_with_black_and_white(images):
    assert (blend(images, np.zeros_like(images)) == images).all()
    assert (blend(images, np.full_like(images, 255)) == invert(images)).all()


@given(IMAGES)
def test_inverting_twice_gives_the_image(images):
    assert (invert(invert(images)) == images).all()
    assert (invert(images).astype(int) + images == 255).all()


@given(IMAGES, st.floats(0, 1))
def test_contrast_is_affine_around_mid_grey(images, contrast):
    out = scale_contrast(images, contrast)
    assert np.abs(out - (127.5 + contrast * (images - 127.5))).max() <= 0.5 + 1e-9
    assert (scale_contrast(images, 1.0) == images).all()


def test_noise_has_the_stated_deviation_and_stays_grey():
    images = np.full((8, 3, 64, 64), 128, dtype=np.uint8)
    noisy = add_noise(images, 0.1, np.random.default_rng(0))
    assert (noisy == noisy[:, :1]).all()
    noise = noisy[:, 0].astype(float) - 128
    assert noise.std() == pytest.approx(25.5, rel=0.02)
    assert abs(noise.mean()) < 0.5


def test_noise_is_clipped_not_wrapped():
    images = np.concatenate([np.zeros((1, 3, 32, 32)), np.full((1, 3, 32, 32), 255)])
    noisy = add_noise(images.astype(np.uint8), 0.2, np.random.default_rng(0))
    assert noisy[0].max() < 230
    assert noisy[1].min() > 25


def test_patches_are_cut_from_the_photographs(photos):
    patches = random_patches(photos, (30, 6, 7), np.random.default_rng(0))
    windows = [np.lib.stride_tricks.sliding_window_view(p, (6, 7), axis=(0, 1)) for p in photos]
    found = [[bool((w == patch).all(axis=(2, 3, 4)).any()) for w in windows] for patch in patches]
    assert all(any(where) for where in found)
    assert {where.index(True) for where in found} == {0, 1}


def test_a_photograph_as_large_as_the_patch_is_used_whole(photos):
    patch = random_patches(photos[:1], (1, 40, 50), np.random.default_rng(0))[0]
    assert (patch == photos[0].transpose(2, 0, 1)).all()


def test_small_or_missing_photographs_are_refused(photos):
    for few in ([], photos):
        with pytest.raises(ValueError, match="at least 41 x 8"):
            random_patches(few, (1, 41, 8), np.random.default_rng(0))


def test_gratings_have_one_wavelength_of_3_to_8_pixels():
    values = gratings((50, 64, 64), np.random.default_rng(0))
    assert values.min() >= 0
    assert values.max() <= 1
    spectrum = np.abs(np.fft.fft2(values - 0.5))
    peak = spectrum.reshape(50, -1).argmax(axis=1)
    frequency = np.fft.fftfreq(64)
    radius = np.hypot(frequency[peak // 64], frequency[peak % 64])
    assert (radius > 1 / 8 - 0.02).all()
    assert (radius < 1 / 3 + 0.02).all()


def test_texture_mixes_by_weight(test_set):
    unchanged = texture(test_set.images, 0.0, np.random.default_rng(0))
    assert (unchanged == test_set.images).all()
    pure = texture(test_set.images, 1.0, np.random.default_rng(0))
    expected = 255 * gratings((20, 16, 16), np.random.default_rng(0))
    assert np.abs(pure[:, 1] - expected).max() <= 0.5
    mixed = texture(test_set.images, 0.25, np.random.default_rng(0))
    assert np.abs(mixed[:, 2] - 0.75 * test_set.images[:, 2] - 0.25 * expected).max() <= 0.5


def test_standard_shifts_keep_shape_type_and_labels(photos, test_set):
    standard = standard_shifts(photos)
    assert len({each.name for each in standard}) == len(standard) == 6
    for each in standard:
        target = each.render(test_set, seed=0)
        assert target.name == each.name
        assert target.images.shape == test_set.images.shape
        assert target.images.dtype == np.uint8
        assert target.accuracy(np.arange(20) % 10) == 1.0
        assert not (target.images == test_set.images).all()


def test_rendering_is_fixed_by_the_seed(photos, test_set):
    for each in standard_shifts(photos):
        first, again, other = (each.render(test_set, seed).images for seed in (0, 0, 1))
        assert (first == again).all()
        assert (first == other).all() == (each.name not in RANDOM)


def test_rendering_leaves_the_test_images_alone(photos, test_set):
    before = test_set.images.copy()
    for each in standard_shifts(photos):
        each.render(test_set, 0)
    assert (test_set.images == before).all()


def test_recipes_state_what_is_done(photos, test_set):
    known = {each.name: each for each in standard_shifts(photos)}
    rendered = {name: s.render(test_set, 0).images.astype(float) for name, s in known.items()}
    assert "0.2" in known["low_contrast"].recipe
    slope = np.polyfit(test_set.images.ravel(), rendered["low_contrast"].ravel(), 1)[0]
    assert slope == pytest.approx(0.2, abs=0.005)
    assert "75 %" in known["textured"].recipe
    slope = np.polyfit(test_set.images.ravel(), rendered["textured"].ravel(), 1)[0]
    assert slope == pytest.approx(0.75, abs=0.02)
    assert "contrast 0.1" in known["low_contrast_noisy"].recipe
    noise = rendered["low_contrast_noisy"] - scale_contrast(test_set.images, 0.1)
    assert noise.std() / 255 == pytest.approx(0.02, rel=0.05)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (3, 3, 17, 16), dtype=np.uint8)


def test_blur_agrees_with_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    x = picture()
    expected = ndimage.gaussian_filter(x.astype(float), (0, 0, 1.3, 1.3), mode="reflect")
    radius = 4 * 1.3
    assert np.ceil(radius) == 6
    expected = ndimage.gaussian_filter(
        x.astype(float), (0, 0, 1.3, 1.3), mode="reflect", radius=(0, 0, 6, 6)
    )
    assert np.abs(shifts.blur(x, 1.3) - expected).max() <= 0.5 + 1e-9
    assert (shifts.blur(x, 0) == x).all()


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, -1)])
def test_rotation_by_right_angles_moves_pixels(degrees, turns):
    x = picture()[:, :, :16]
    assert (shifts.rotate(x, degrees) == np.rot90(x, turns, axes=(2, 3))).all()
    assert (shifts.rotate(x, 0) == x).all()


def test_rescaling_by_two_shows_every_other_place():
    x = picture()[:, :, :15, :15]
    small = shifts.rescale(x, 0.5)
    # about the centre, pixel 7: place 7 + k shows pixel 7 + 2 k
    assert (small[:, :, 4:11, 4:11] == x[:, :, 1:15:2, 1:15:2]).all()
    assert (small[:, :, 0] == small[:, :, 3]).all()
    assert (shifts.rescale(x, 1) == x).all()


def test_brightness_clips():
    x = picture()
    expected = np.clip(np.rint(x + 0.3 * 255), 0, 255)
    assert (shifts.add_brightness(x, 0.3) == expected).all()


def test_jpeg_is_pillows_and_worse_at_low_quality():
    pytest.importorskip("PIL")
    smooth = shifts.blur(picture(), 3)
    errors = [np.abs(shifts.jpeg(smooth, q).astype(int) - smooth).mean() for q in (95, 50, 10)]
    assert errors[0] < errors[1] < errors[2]


def test_every_family_is_undone_at_its_neutral_value(test_set, monkeypatch):
    flat = [np.zeros((40, 40, 3), np.uint8)]
    monkeypatch.setattr(shifts, "load_photos", lambda: flat)
    neutral = {"contrast": 1, "scale": 1}
    for name in set(shifts.FAMILIES) - {"jpeg"}:
        target = shift(f"{name}={neutral.get(name, 0)}").render(test_set, 0)
        assert (target.images == test_set.images).all(), name


def test_severities_go_from_mild_to_strong():
    pytest.importorskip("sklearn")
    rows, columns = np.mgrid[-7.5:8.5, -7.5:8.5]
    # a smooth spot off the centre: random pixels would change as much under any displacement
    spot = 220 * np.exp(-((rows - 3) ** 2 + (columns + 2) ** 2) / 8)
    x = np.broadcast_to(spot.astype(np.uint8), (20, 3, 16, 16)).copy()
    for name in shifts.FAMILIES:
        points = curve(name)
        assert [p.family for p in points] == [name] * 5
        change = [
            np.abs(p.apply(x, np.random.default_rng(0)).astype(int) - x).mean() for p in points
        ]
        assert change == sorted(change), name
        assert change[0] < change[-1]
        assert name not in {p.name for p in points}


def test_full_strength_of_blend_and_invert_is_the_shift_itself(test_set, photos, monkeypatch):
    monkeypatch.setattr(shifts, "load_photos", lambda: photos)
    inverted = shift("invert=1").render(test_set, 0)
    assert (inverted.images == invert(test_set.images)).all()
    full = shifts.blend_over(photos, 1.0)(test_set.images, np.random.default_rng(0))
    expected = shifts.blend_into(photos)(test_set.images, np.random.default_rng(0))
    assert (full == expected).all()


def test_shifts_compose_from_left_to_right(test_set):
    both = shift("contrast=0.1+noise=0.02")
    assert both.name == "contrast=0.1+noise=0.02"
    rendered = both.render(test_set, 5).images
    generator = random_generator(5, both.name)
    expected = add_noise(scale_contrast(test_set.images, 0.1), 0.02, generator)
    assert (rendered == expected).all()
    assert both.recipe.startswith("contrast 0.1 around mid-grey")
    assert both.title == "Low contrast (0.1), then noisy (0.02)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fog", "unknown shift 'fog' in 'fog'; known: blend, texture"),
        ("noise=2", "from 0 to 1"),
        ("noise=loud", "give a number from 0 to 1"),
        ("contrast=0.5+fog", "unknown shift 'fog'"),
    ],
)
def test_wrong_shifts_are_one_sentence(text, message):
    with pytest.raises(ValueError, match=message):
        shift(text)
    with pytest.raises(ValueError, match="unknown shift"):
        curve("fog")
