"""Simulated imaging: presentations, GCaMP dynamics, trial noise, fluorescence, running."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurn.mouse.planted import Neurons
from neurn.mouse.sweeps import BEFORE, RESPONSE

FRAME_RATE = 30.0
SPONTANEOUS = 300  # frames of grey screen before and after the images
DURATIONS = (8, 7)  # frames of an image in turn: 250 ms

_RISE, _DECAY = 0.05, 0.25  # seconds, GCaMP6f
_ACTIVE = min(DURATIONS)  # frames of an image's event
_UNTUNED_NOISE = 8.0  # percent dF/F, of trials of neurons without a signal

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Session:
    """What a simulated session holds, in the units of the files.

    Attributes
    ----------
    index, start, end : ndarray of int64, shape (presentations,)
    timestamps : ndarray of float64, shape (samples,)
    demixed, neuropil, raw, dff : ndarray of float32, shape (neurons, samples)
    ratio : ndarray of float64, shape (neurons,)
    running : ndarray of float64, shape (samples,)
        cm/s.
    events : ndarray of float32, shape (neurons, samples)
        What dF/F is made of, its negative part left out, as a fraction.
    gain : ndarray of float64, shape (neurons,)
        `Neurons.running` as it is in effect: no larger than the wanted reliability allows.
    reliability : ndarray of float64, shape (neurons,)
        Of the mean response over all trials, as noise and running make it.
    """

    index: Integers
    start: Integers
    end: Integers
    timestamps: Floats
    demixed: npt.NDArray[np.float32]
    neuropil: npt.NDArray[np.float32]
    raw: npt.NDArray[np.float32]
    dff: npt.NDArray[np.float32]
    ratio: Floats
    running: Floats
    events: npt.NDArray[np.float32]
    gain: Floats
    reliability: Floats


def record(
    neurons: Neurons,
    repetitions: int,
    noise: float,
    running: float,
    random: np.random.Generator,
) -> Session:
    """Simulate a session.

    Parameters
    ----------
    neurons : Neurons
    repetitions : int
        How often each image, and the blank, is shown.
    noise : float
        Factor of all noise; 0 for none.
    running : float
        Factor of how much running changes responses.
    random : numpy.random.Generator
    """
    n_neurons, n_images = neurons.signal.shape
    index = random.permutation(np.repeat(np.arange(-1, n_images), repetitions))
    durations = np.resize(DURATIONS, len(index))
    end = SPONTANEOUS + np.cumsum(durations)
    start = end - durations
    samples = int(end[-1]) + SPONTANEOUS
    spike, scale = _spike()
    speed = np.maximum(8 * _smooth(random.standard_normal((1, samples)), 200)[0], 0)
    pace = (speed[start] - speed[start].mean()) / max(speed[start].std(), 1e-12)
    spread, gain, reliability = _trial_noise(neurons, repetitions, noise, running, spike * scale)
    amplitudes = np.concatenate([np.zeros((n_neurons, 1)), neurons.signal], axis=1)[:, index + 1]
    amplitudes *= 1 + gain[:, None] * pace
    amplitudes += spread[:, None] * random.standard_normal(amplitudes.shape)
    events = np.zeros((n_neurons, samples))
    # As many frames for each image, so that the kernel is one.
    for frame in range(_ACTIVE):
        events[:, start + frame] += amplitudes * (scale / 100)
    spectrum = np.fft.rfft(events, 2 * samples) * np.fft.rfft(spike, 2 * samples)
    dff = np.fft.irfft(spectrum, 2 * samples)[:, :samples]
    base = random.uniform(200, 800, (n_neurons, 1))
    ratio: Floats = random.uniform(0.2, 0.8, (n_neurons,))
    drift = _smooth(random.standard_normal((n_neurons, samples)), 300)
    neuropil = base * (0.6 + 0.02 * noise * drift)
    corrected = base * (1 + dff)
    demixed = corrected + ratio[:, None] * neuropil
    raw = demixed + 0.01 * base
    return Session(
        index=index.astype(np.int64),
        start=start.astype(np.int64),
        end=end.astype(np.int64),
        timestamps=10 + np.arange(samples) / FRAME_RATE,
        demixed=demixed.astype(np.float32),
        neuropil=neuropil.astype(np.float32),
        raw=raw.astype(np.float32),
        dff=dff.astype(np.float32),
        ratio=ratio,
        running=speed,
        events=np.maximum(events, 0).astype(np.float32),
        gain=gain,
        reliability=reliability,
    )


def _spike() -> tuple[Floats, float]:
    """Return dF/F after an event of one, and the event of an image whose response is one.

    The event lasts while the image does; its response is the mean in the response window.
    """
    times = np.arange(int(3 * FRAME_RATE)) / FRAME_RATE
    spike: Floats = np.exp(-times / _DECAY) - np.exp(-times / _RISE)
    spike /= spike.max()
    return spike, float(1 / _image(spike)[slice(*RESPONSE)].mean())


def _image(spike: Floats) -> Floats:
    """Return dF/F after an image's event of one a frame."""
    kernel: Floats = np.convolve(spike, np.ones(_ACTIVE))[: len(spike)]
    return kernel


def _trial_noise(
    neurons: Neurons, repetitions: int, noise: float, running: float, spike: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the noise of amplitudes, the gain of running, and the reliability they give.

    A response is the window's mean minus the baseline's, and both hold what earlier and later
    images leave: that is noise as well, since their order is random, and cannot be taken away.
    So is what running adds, which has no more than half of what the wanted reliability leaves.
    """
    weights = _weights(_image(spike))
    others = (weights**2).sum() - weights[0] ** 2
    signal = neurons.signal.var(axis=1) * weights[0] ** 2
    # The spread that neighbours add: they are any of the images or a blank.
    n_images = neurons.signal.shape[1]
    with_blank = np.concatenate([neurons.signal, np.zeros((len(signal), 1))], axis=1)
    carried = with_blank.var(axis=1) * others
    wanted = neurons.reliability
    every = (weights**2).sum()
    power = (with_blank**2).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = repetitions * signal * (1 - wanted) / wanted
        free = np.where(wanted > 0, np.maximum(total - carried, 0), np.inf) / every
        most = np.sqrt(0.5 * free / power)
        gain = running * np.clip(neurons.running, -most, most)
        variance = np.maximum(free - gain**2 * power, 0)
    variance = np.where(wanted > 0, variance, _UNTUNED_NOISE**2) * noise**2
    left = carried + (variance + gain**2 * power) * every
    # The means of n_images estimates have the variance of n_images - 1 independent ones.
    signal = signal * n_images / (n_images - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        reliability = np.where(signal > 0, signal / (signal + left / repetitions), 0.0)
    return np.sqrt(variance), gain, reliability


def _weights(kernel: Floats) -> Floats:
    """Return what a trial's amplitude adds to its own response (first) and to its neighbours'."""
    step = sum(DURATIONS) / len(DURATIONS)
    padded = np.concatenate([np.zeros(200), kernel, np.zeros(200)])
    result = []
    for k in sorted(range(-4, 10), key=abs):
        onset = 200 + round(k * step)
        window = padded[onset + RESPONSE[0] : onset + RESPONSE[1]].mean()
        result.append(window - padded[onset - BEFORE : onset].mean())
    return np.array(result)


def _smooth(values: Floats, width: int) -> Floats:
    """Return values smoothed along the last axis, of unit variance."""
    taps = np.hanning(width)
    n = values.shape[-1]
    smooth = np.fft.irfft(np.fft.rfft(values, 2 * n) * np.fft.rfft(taps, 2 * n), 2 * n)[..., :n]
    result: Floats = smooth / max(float(smooth.std()), 1e-12)
    return result
