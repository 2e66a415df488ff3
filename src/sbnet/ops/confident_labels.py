"""Labels of scores: the strongest, and confident ones, on which two CRF results, one with much and one with little
background, agree.

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
    (all about 0: outside the image). Raises ValueError for marginals of other shapes and for NaN.
    """
    if isinstance(low, np.ndarray):
        arrays = (torch.from_numpy(np.asarray(array)) for array in (low, high, classes))
        return confident_labels(*arrays, ignore=ignore).numpy()
    if low.shape != high.shape or len(low) != len(classes) + 1:
        shapes = f"{tuple(low.shape)}, {tuple(high.shape)}"
        raise ValueError(f"marginals {shapes} for {len(classes)} classes: expected background and each class")
    (low_best, low_largest), (high_best, high_largest) = _argmax("low", low), _argmax("high", high)
    label = _ids(ignore, classes, low_best) * (high_best != 0).view(torch.uint8)
    nothing = (low_largest < 1e-5) & (high_largest < 1e-5)
    return label.masked_fill(nothing, ignore) if nothing.any() else label


def strongest_labels(scores: Array, classes: Array | None = None) -> Array:
    """Label (H, W) uint8 of the input's kind: the id of each pixel's largest score, the first of equal ones.

    scores: (K + 1, H, W), background first; classes: (K,) dataset ids of channels 1..K, by default 1..K themselves.
    Raises ValueError for NaN, for another number of classes, and for more channels than a byte counts.
    """
    if isinstance(scores, np.ndarray):
        ids = None if classes is None else torch.from_numpy(np.asarray(classes))
        return strongest_labels(torch.from_numpy(scores), ids).numpy()
    if not 0 < len(scores) <= 256 or (classes is not None and len(classes) != len(scores) - 1):
        given = "any number of" if classes is None else len(classes)
        raise ValueError(
            f"scores {tuple(scores.shape)} for {given} classes: expected background and each class"
        )
    best, _ = _argmax("scores", scores)
    return best if classes is None else _ids(0, classes, best)


def _ids(first: int, classes: Tensor, channel: Tensor) -> Tensor:
    """Of channels (H, W): `first` for channel 0, classes for the others. By index_select, the quickest on the CPU."""
    ids = torch.cat([classes.new_full((1,), first), classes]).to(channel.device, torch.uint8)
    return ids.index_select(0, channel.flatten().int()).view(channel.shape)


def _argmax(name: str, values: Tensor) -> tuple[Tensor, Tensor]:
    """Of (K, H, W): the first largest channel uint8 and its value; ValueError for NaN.

    Channel by channel: on the CPU torch's own argmax over the first dimension takes ten times as long and more.
    """
    best, largest = torch.zeros_like(values[0], dtype=torch.uint8), values[0]
    for channel, one in enumerate(values[1:], start=1):
        best = torch.maximum(best, (one > largest).view(torch.uint8) * channel)
        largest = torch.maximum(largest, one)  # NaN once, NaN to the end
    if largest.isnan().any():
        raise ValueError(f"{name}: NaN at index {tuple(values.isnan().nonzero()[0].tolist())}")
    return best, largest
