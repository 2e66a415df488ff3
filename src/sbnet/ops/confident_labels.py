"""Confident labels: what two CRF results, one with much and one with little background, agree on.

Shapes: K present foreground classes, H x W pixels.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", Tensor, np.ndarray)


def confident_labels(low: Array, high: Array, classes: Array, *, ignore: int = 255) -> Array:
    """Label (H, W) uint8 of the input's kind: a class id, 0 or `ignore`.

    low, high: marginals (K + 1, H, W), background first, at the low background alpha (much background) and
    the high one (little). classes: (K,) dataset ids of channels 1..K. A pixel is its argmax of `low` where
    that is foreground; 0 where the argmax of `high` is background, which wins where both hold, as in the
    reference (Ahn & Kwak, CVPR 2018, section 3.2.1); `ignore` otherwise, and where there are no marginals
    (all about 0: outside the photo). Raises ValueError for marginals of other shapes and for NaN.
    """
    if isinstance(low, np.ndarray):
        arrays = (torch.from_numpy(np.asarray(array)) for array in (low, high, classes))
        return confident_labels(*arrays, ignore=ignore).numpy()
    if low.shape != high.shape or len(low) != len(classes) + 1:
        shapes = f"{tuple(low.shape)}, {tuple(high.shape)}"
        raise ValueError(f"marginals {shapes} for {len(classes)} classes: expected background and each class")
    for name, marginals in (("low", low), ("high", high)):
        if marginals.isnan().any():
            raise ValueError(f"{name}: NaN at index {tuple(marginals.isnan().nonzero()[0].tolist())}")
    ids = torch.cat([classes.new_full((1,), ignore), classes]).to(low.device, torch.uint8)
    (low_best, low_largest), (high_best, high_largest) = _argmax(low), _argmax(high)
    label = ids[low_best.long()].masked_fill(high_best == 0, 0)
    return label.masked_fill((low_largest < 1e-5) & (high_largest < 1e-5), ignore)


def _argmax(marginals: Tensor) -> tuple[Tensor, Tensor]:
    """Of (K, H, W): the first largest channel uint8 and its value; channel by channel, for over the first dimension
    torch's own takes fifteen times as long on the CPU.
    """
    best = torch.zeros_like(marginals[0], dtype=torch.uint8)
    largest = marginals[0]
    for channel, values in enumerate(marginals[1:], start=1):
        best.masked_fill_(values > largest, channel)
        largest = torch.maximum(largest, values)
    return best, largest
