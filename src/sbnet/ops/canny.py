"""Canny edge maps, equal to OpenCV's (Canny, PAMI 1986): Sobel 3 x 3, L1 magnitude, strongest channel."""

from __future__ import annotations

import numpy as np

from sbnet.ops.compiled import kernels


def canny(image: np.ndarray, *, low: int = 10, high: int = 100) -> np.ndarray:
    """Edges of an image (H, W, 3) or (H, W) uint8: (H, W) uint8, 0 or 255.

    low, high: thresholds on |dx| + |dy|. An edge is a local maximum above `low` along its gradient, connected
    (8 neighbours) to one above `high`.
    """
    if image.dtype != np.uint8:
        raise ValueError(f"image: {image.dtype} instead of uint8")
    channels = image[..., None] if image.ndim == 2 else image
    return kernels().canny(np.ascontiguousarray(channels), low, high)


def wrapped_bytes(image: np.ndarray) -> np.ndarray:
    """A normalised image, any shape, float, as uint8: cut to whole numbers, the negative ones wrapped (-1 is 255).

    The reference takes the edges of this: five of an image's 256 levels are left, and the dark ones become the
    brightest.
    """
    return np.trunc(image).astype(np.int64).astype(np.uint8)
