"""Simulated neurons: receptive fields, what they make of images, how reliable they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurn.mouse.groups import cell_class

FIELD = 31  # pixels on a side of a receptive field, and of the images it is applied to
KINDS = ("gabor", "complex", "surround", "untuned")

# How often the first three kinds occur among neurons with a receptive field.
_SHARES = {"excitatory": (0.45, 0.35, 0.2), "inhibitory": (0.2, 0.5, 0.3)}
# Reliability of the mean response of real neurons over 50 trials of 118 scenes: mean and standard
# deviation of its log odds. Fitted by quantiles to the measured split-half reliability of 37,719
# excitatory neurons (the measurement's own spread, 1 - (1 - r) / F(117, 5782), taken into account);
# the largest distance of the distributions, Kolmogorov-Smirnov, is .01 to .04. No such figures are
# public for inhibitory ones: they get the same.
_RELIABILITY = {
    "VISp": (0.391, 1.350),
    "VISl": (0.081, 1.826),
    "VISal": (-0.329, 1.848),
    "VISpm": (-1.309, 2.145),
    "VISam": (-1.759, 2.249),
    "VISrl": (-4.157, 2.428),
}
_LEAST = 0.05  # of a neuron with a receptive field; one below it is untuned
_MOST = 0.99
# How much stronger responses are one standard deviation of speed above the mean: mean and spread
# over neurons. Running raises the gain of most, of Vip neurons the most (Fu et al. 2014, Cell 156,
# 1139-1152; de Vries et al. 2020); these figures are chosen, not fitted.
_RUNNING = {"excitatory": (0.15, 0.15), "Vip-IRES-Cre": (0.4, 0.2), "Sst-IRES-Cre": (0.2, 0.2)}
# Trial noise in percent dF/F: median, and standard deviation of its logarithm.
_NOISE = (8.0, 0.4)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Neurons:
    """A population with known receptive fields.

    Attributes
    ----------
    kind : ndarray of str, shape (neurons,)
        ``"gabor"``: linear; ``"complex"``: the energy of two Gabors in quadrature;
        ``"surround"``: difference of Gaussians, rectified; ``"untuned"``.
    field : ndarray of float64, shape (neurons, 31, 31)
        Receptive field of unit norm; of a complex cell that of one phase; zeros where untuned.
    signal : ndarray of float64, shape (neurons, images)
        Mean response to each image in percent dF/F.
    reliability : ndarray of float64, shape (neurons,)
        Wanted reliability of the mean over all trials.
    running : ndarray of float64, shape (neurons,)
        By which share of itself a response is larger one standard deviation of running speed
        above the mean.
    """

    kind: npt.NDArray[np.str_]
    field: Floats
    signal: Floats
    reliability: Floats
    running: Floats


def natural_images(count: int, shape: tuple[int, int], random: np.random.Generator) -> Floats:
    """Return images with the spectrum of natural ones (amplitude 1 / f), 0 to 255.

    Parameters
    ----------
    count : int
    shape : tuple of int
    random : numpy.random.Generator
    """
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf
    white = np.fft.rfft2(random.standard_normal((count, *shape)))
    images = np.fft.irfft2(white / frequency, s=shape)
    images /= images.std(axis=(1, 2), keepdims=True)
    return np.clip(np.round(127.5 + 45 * images), 0, 255)


def scenes(seed: int) -> Floats:
    """Return the images of a simulation, shape (118, 92, 118), whole grey values 0 to 255."""
    return natural_images(118, (92, 118), np.random.default_rng([seed, 118]))


def plant(
    images: Floats,
    area: str,
    cre_line: str,
    count: int,
    repetitions: int,
    random: np.random.Generator,
) -> Neurons:
    """Make neurons of one area and cell class.

    Parameters
    ----------
    images : ndarray of float64, shape (images, 31, 31)
    area : str
        Reliability is that of the area.
    cre_line : str
    count : int
    repetitions : int
        Trials of an image: trial noise being what it is, they and the reliability tell how large
        the signal must be.
    random : numpy.random.Generator

    Returns
    -------
    Neurons
    """
    inhibitory = cell_class(cre_line) == "inhibitory"
    shares = _SHARES["inhibitory" if inhibitory else "excitatory"]
    kind = random.choice(KINDS[:-1], size=count, p=shares).astype("<U8")
    seen = images.reshape(len(images), -1)
    seen = seen - seen.mean(axis=0)
    seen /= np.where(seen.std(axis=0) > 0, seen.std(axis=0), 1)
    field = np.zeros((count, FIELD * FIELD))
    signal = np.empty((count, len(images)))
    centre, spread = _RELIABILITY[area]
    reliability = 1 / (1 + np.exp(-(centre + spread * random.standard_normal(count))))
    reliability = np.minimum(reliability, _MOST)
    kind[reliability < _LEAST] = "untuned"
    mean, deviation = _RUNNING.get(cre_line, _RUNNING["excitatory"])
    running = mean + deviation * random.standard_normal(count)
    trial_noise = random.lognormal(np.log(_NOISE[0]), _NOISE[1], count)
    level = trial_noise * np.sqrt(reliability / (1 - reliability) / repetitions)
    reliability[kind == "untuned"] = 0
    for i, name in enumerate(kind):
        if name == "untuned":
            signal[i] = level[i]
            continue
        if name == "surround":
            field[i] = _surround(random)
            drive = np.maximum(seen @ field[i], 0)
        else:
            field[i], other = _gabors(random)
            drive = seen @ field[i]
            if name == "complex":
                drive = np.hypot(drive, seen @ other)
        drive = (drive - drive.mean()) / max(drive.std(), 1e-12)
        signal[i] = level[i] * (1.5 + drive)
    return Neurons(kind, field.reshape(count, FIELD, FIELD), signal, reliability, running)


def _grid() -> tuple[Floats, Floats]:
    axis = np.arange(FIELD) - (FIELD - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return y, x


def _gabors(random: np.random.Generator) -> tuple[Floats, Floats]:
    """Return two Gabors a quarter of a period apart, without mean, of unit norm."""
    y, x = _grid()
    y0, x0 = random.uniform(-7, 7, 2)
    angle, phase = random.uniform(0, np.pi), random.uniform(0, 2 * np.pi)
    wavelength = random.uniform(10, 20)
    sigma = 0.4 * wavelength
    along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
    envelope = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2))
    one, other = (
        _unit(envelope * np.cos(2 * np.pi * along / wavelength + phase + shift), envelope)
        for shift in (0, np.pi / 2)
    )
    return one, other


def _surround(random: np.random.Generator) -> Floats:
    y, x = _grid()
    y0, x0 = random.uniform(-7, 7, 2)
    centre = random.uniform(2.5, 4.5)
    squared = (x - x0) ** 2 + (y - y0) ** 2
    near, far = (np.exp(-squared / (2 * s**2)) / s**2 for s in (centre, 2 * centre))
    sign = 1 if random.random() < 0.5 else -1
    return sign * _unit(near - far, far)


def _unit(field: Floats, envelope: Floats) -> Floats:
    # The mean is taken out under the envelope, so that the field stays where it is.
    flat = (field - envelope * field.sum() / envelope.sum()).ravel()
    result: Floats = flat / np.linalg.norm(flat)
    return result
