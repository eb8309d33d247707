"""NeuRN for data loaders."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurn.layer import NeuRN as _Layer

_PIL_MODES = {"1": "L", "LA": "L", "La": "L"}


class NeuRN(nn.Module):
    """NeuRN of one image or batch, as a transform in the style of torchvision's v2.

    Takes a PIL image, a uint8 or floating array of shape (H, W) or (H, W, C), or a uint8 or
    floating tensor of shape (C, H, W) or (N, C, H, W). Floating tensors keep their dtype;
    everything else gives a float32 tensor (C, H, W). Scaling to [0, 1] beforehand is not needed:
    NeuRN does not depend on it. Picklable.

    Parameters
    ----------
    kernel_size, padding, scope, floor
        As for `neurn.neurn`; `floor` counts in the image's own units (0 to 255 for uint8).

    Raises
    ------
    ValueError
        For a parameter that `neurn.neurn` does not allow.
    TypeError
        For an image of another kind.
    """

    def __init__(
        self,
        kernel_size: int = 3,
        padding: str = "reflect",
        scope: str = "image",
        floor: float = 0.0,
    ) -> None:
        super().__init__()
        self.layer = _Layer(kernel_size, padding, scope, floor)

    def forward(self, image: Any) -> Tensor:
        """Return the map of `image`, in [0, 1]."""
        y: Tensor = self.layer(as_tensor(image))
        return y

    def extra_repr(self) -> str:
        """Return the parameters, for `repr`."""
        return self.layer.extra_repr()


def as_tensor(image: Any) -> Tensor:
    """Return an image of any of the kinds that `NeuRN` takes as a floating tensor."""
    if isinstance(image, Tensor):
        return image.float() if image.dtype == torch.uint8 else image
    if hasattr(image, "mode") and hasattr(image, "convert"):
        if image.mode not in ("L", "RGB", "I", "F", "I;16"):
            image = image.convert(_PIL_MODES.get(image.mode, "RGB"))
        image = np.asarray(image)
        if image.dtype != np.uint8:
            image = image.astype(np.float32)
    if isinstance(image, np.ndarray) and image.ndim in (2, 3):
        if image.dtype == np.uint8 or np.issubdtype(image.dtype, np.floating):
            tensor = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
            return tensor[None] if tensor.dim() == 2 else tensor.movedim(2, 0)
    kind = (
        f"an array of {image.dtype}, shape {image.shape}"
        if isinstance(image, np.ndarray)
        else type(image).__name__
    )
    raise TypeError(
        "image must be a PIL image, a uint8 or floating array (H, W) or (H, W, C), or a tensor, "
        f"got {kind}"
    )
