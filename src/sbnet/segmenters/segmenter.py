"""What segmenters share: logits at several scales of the input (DeepLab v2; Chen et al., TPAMI 2018).

Shapes: B batch, C classes (0 = background), H x W pixels, h x w the output: a grid, or pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network


class SegmenterOutput(NamedTuple):
    """`logits` (B, C, h, w): the maximum over scales. `per_scale`: each scale's own (B, C, h_s, w_s)."""

    logits: Tensor
    per_scale: tuple[Tensor, ...]

    @property
    def supervised(self) -> tuple[Tensor, ...]:
        """What takes a cross entropy in training: every scale, and their maximum where there are several."""
        return self.per_scale if len(self.per_scale) == 1 else (*self.per_scale, self.logits)


class Segmenter(Network):
    """Subclasses give `logits` at one scale. `scales`: of the input; the first is 1.

    Prediction and `sbnet.load` ask less of a network: a method `logits`, and an output with `logits` (B, C, h, w).
    """

    def __init__(
        self, backbone: Backbone, classes: int, new: Iterable[str], *, scales: tuple[float, ...]
    ) -> None:
        super().__init__(backbone, classes, new)
        self.scales = scales

    def logits(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) normalized -> (B, C, h, w)."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> SegmenterOutput:
        """images (B, 3, H, W) normalized."""
        per_scale = tuple(self.logits(_resized(images, scale)) for scale in self.scales)
        if len(per_scale) == 1:
            return SegmenterOutput(per_scale[0], per_scale)
        size = per_scale[0].shape[2:]
        enlarged = [per_scale[0]]
        enlarged += [F.interpolate(logits, size=size, mode="bilinear") for logits in per_scale[1:]]
        return SegmenterOutput(torch.stack(enlarged).amax(0), per_scale)


def _resized(images: Tensor, scale: float) -> Tensor:
    """Resized by that factor, rounded down to at least one pixel per side."""
    if scale == 1:
        return images
    height, width = (int(side * scale) for side in images.shape[2:])
    if min(height, width) < 1:
        return F.interpolate(images, size=(max(1, height), max(1, width)), mode="bilinear")
    return F.interpolate(images, scale_factor=scale, mode="bilinear", recompute_scale_factor=False)
