"""Canny edge maps in numpy and scipy, equal to OpenCV's: the kernel's peer in `kernels.py`, and what tests hold it to."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

TAN_22 = 13573  # tan(22.5 degrees) in 1/2^15, as OpenCV rounds it


def canny(image: np.ndarray, *, low: int = 10, high: int = 100) -> np.ndarray:
    """As `sbnet.ops.canny`."""
    dx, dy = _strongest_gradient(image)
    edge, strong = _local_maxima(dx, dy, low, high)
    labels, count = ndimage.label(edge, structure=np.ones((3, 3), bool))
    kept = np.zeros(count + 1, bool)
    kept[labels[strong]] = True
    kept[0] = False
    return kept[labels].astype(np.uint8) * np.uint8(255)


def _strongest_gradient(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel dx, dy (H, W) int16 of the channel with the largest |dx| + |dy|, the first of equals."""
    channels = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    padded = np.pad(channels, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.int16)
    smooth = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    dx = smooth[..., 2:] - smooth[..., :-2]
    smooth = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    dy = smooth[:, 2:] - smooth[:, :-2]
    best_dx, best_dy = dx[0], dy[0]
    best = np.abs(best_dx) + np.abs(best_dy)
    for channel_dx, channel_dy in zip(dx[1:], dy[1:], strict=True):
        magnitude = np.abs(channel_dx) + np.abs(channel_dy)
        stronger = magnitude > best
        best_dx, best_dy = np.where(stronger, channel_dx, best_dx), np.where(stronger, channel_dy, best_dy)
        best = np.maximum(best, magnitude)
    return best_dx, best_dy


def _local_maxima(dx: np.ndarray, dy: np.ndarray, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Maxima above `low` along their gradient, and those of them above `high`: bool (H, W) each."""
    dx, dy = np.pad(dx, 1), np.pad(dy, 1)  # nothing lies outside the image
    magnitude = (np.abs(dx) + np.abs(dy)).ravel()
    here = np.flatnonzero(magnitude > low)
    gx, gy = dx.ravel()[here].astype(np.int32), dy.ravel()[here].astype(np.int32)
    ax, ay = np.abs(gx), np.abs(gy) << 15
    tangent = ax * TAN_22
    across, along = ay < tangent, ay > tangent + (ax << 16)
    diagonal = ~(across | along)
    width = dx.shape[1]
    step = width + 1 - 2 * ((gx ^ gy) < 0)
    step[across], step[along] = 1, width
    value, before, after = magnitude[here], magnitude[here - step], magnitude[here + step]
    # As OpenCV: of two equal neighbours along an axis the first is the maximum, on a diagonal neither.
    maximum = (value > before) & (value >= after + diagonal)
    edge, strong = np.zeros(dx.shape, bool), np.zeros(dx.shape, bool)
    edge.ravel()[here[maximum]] = True
    strong.ravel()[here[maximum]] = value[maximum] > high
    return edge[1:-1, 1:-1], strong[1:-1, 1:-1]
