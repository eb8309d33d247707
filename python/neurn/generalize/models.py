"""Small networks for small images."""

from __future__ import annotations

from torch import nn


def lenet(classes: int = 10) -> nn.Sequential:
    """Make LeNet-5 for 3 x 32 x 32 images, with rectifiers and max pooling.

    Layers and widths of Y. LeCun et al., "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE, 1998: 5x5x6, pool, 5x5x16, pool, 120, 84, `classes`.

    Parameters
    ----------
    classes : int
        Number of outputs.

    Returns
    -------
    torch.nn.Sequential
        Float (N, 3, 32, 32) to logits (N, classes).
    """
    # Pooling before the rectifier gives the same maps for a quarter of the work.
    return nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(6, 16, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )
