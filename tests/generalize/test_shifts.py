import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurn.generalize import EvaluationSet
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
    shifts = standard_shifts(photos)
    assert len({shift.name for shift in shifts}) == len(shifts) == 6
    for shift in shifts:
        target = shift.render(test_set, seed=0)
        assert target.name == shift.name
        assert target.images.shape == test_set.images.shape
        assert target.images.dtype == np.uint8
        assert target.accuracy(np.arange(20) % 10) == 1.0
        assert not (target.images == test_set.images).all()


def test_rendering_is_fixed_by_the_seed(photos, test_set):
    for shift in standard_shifts(photos):
        first, again, other = (shift.render(test_set, seed).images for seed in (0, 0, 1))
        assert (first == again).all()
        assert (first == other).all() == (shift.name not in RANDOM)


def test_rendering_leaves_the_test_images_alone(photos, test_set):
    before = test_set.images.copy()
    for shift in standard_shifts(photos):
        shift.render(test_set, 0)
    assert (test_set.images == before).all()


def test_recipes_state_what_is_done(photos, test_set):
    shifts = {shift.name: shift for shift in standard_shifts(photos)}
    rendered = {name: s.render(test_set, 0).images.astype(float) for name, s in shifts.items()}
    assert "0.2" in shifts["low_contrast"].recipe
    slope = np.polyfit(test_set.images.ravel(), rendered["low_contrast"].ravel(), 1)[0]
    assert slope == pytest.approx(0.2, abs=0.005)
    assert "75 %" in shifts["textured"].recipe
    slope = np.polyfit(test_set.images.ravel(), rendered["textured"].ravel(), 1)[0]
    assert slope == pytest.approx(0.75, abs=0.02)
    assert "contrast 0.1" in shifts["low_contrast_noisy"].recipe
    noise = rendered["low_contrast_noisy"] - scale_contrast(test_set.images, 0.1)
    assert noise.std() / 255 == pytest.approx(0.02, rel=0.05)
