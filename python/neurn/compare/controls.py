"""Controls that tell structure from scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurn.compare.inputs import Floats


def matched_shuffle(features: Any, seed: int = 0) -> Any:
    """Return features whose scenes (cells, of maps) are shuffled, each feature by itself.

    Mean, variance and all of the distribution of each feature stay to the last bit; what it
    responds to is gone. A front end that helps as much after this has changed the scale only.

    Parameters
    ----------
    features : DataArray or array
        Activity (stimulus, feature, ...), or maps (feature, y, x).
    seed : int

    Returns
    -------
    As given

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> activity = np.arange(12).reshape(4, 3)
    >>> mixed = compare.matched_shuffle(activity)
    >>> np.array_equal(np.sort(mixed, axis=0), activity), np.array_equal(mixed, activity)
    (True, False)
    """
    values = np.array(getattr(features, "values", features))
    maps = hasattr(features, "dims") and features.dims[0] == "feature"
    if values.ndim < 2:
        raise ValueError(f"features must have 2 axes or more, got {values.shape}")
    random = np.random.default_rng(seed)
    mixed: Any
    if maps or (not hasattr(features, "dims") and values.ndim == 3):
        cells = values.reshape(len(values), -1)
        mixed = random.permuted(cells, axis=1).reshape(values.shape)
    else:
        axis = features.dims.index("stimulus") if hasattr(features, "dims") else 0
        moved = np.moveaxis(values, axis, 0)
        flat = moved.reshape(moved.shape[0], moved.shape[1], -1)
        # Positions of a feature stay together: it is the scenes that are shuffled.
        order = random.permuted(
            np.repeat(np.arange(len(flat))[:, None], flat.shape[1], axis=1), axis=0
        )
        taken = np.take_along_axis(flat, order[:, :, None], axis=0).reshape(moved.shape)
        mixed = np.moveaxis(taken, 0, axis)
    return features.copy(data=mixed) if hasattr(features, "dims") else mixed


def rescaled(features: Any, like: Any) -> Any:
    """Return features with the means and variances of others; their order over scenes stays.

    Plain features given NeuRN's scale: where they then score as NeuRN does, scale was all.

    Parameters
    ----------
    features, like : DataArray or array, (stimulus, feature, ...)
        Of the same features.

    Returns
    -------
    As `features`

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> plain, behind = rng.normal(5, 2, (40, 3)), rng.normal(0.2, 0.1, (40, 3))
    >>> made = compare.rescaled(plain, behind)
    >>> np.allclose(made.mean(axis=0), behind.mean(axis=0))
    True
    >>> bool(np.corrcoef(made[:, 0], plain[:, 0])[0, 1] > 0.999)
    True
    """
    a, b = (np.asarray(getattr(x, "values", x), dtype=np.float64) for x in (features, like))
    if a.shape[1:2] != b.shape[1:2] or a.ndim < 2 or b.ndim < 2:
        raise ValueError(f"like must be of the same features, got {b.shape} beside {a.shape}")

    def moments(x: Floats) -> tuple[Floats, Floats]:
        axes = (0, *range(2, x.ndim))
        return x.mean(axis=axes, keepdims=True), x.std(axis=axes, keepdims=True)

    (mean, std), (wanted, spread) = moments(a), moments(b)
    wanted, spread = (v.reshape(1, -1, *(1,) * (a.ndim - 2)) for v in (wanted, spread))
    made = (a - mean) / np.where(std > 0, std, 1) * spread + wanted
    return features.copy(data=made) if hasattr(features, "dims") else made
