"""Walks of an image's scores on a network's grid. K score maps, H x W the image, h x w the grid."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional


def walk_on_grid(walk: Callable[[Tensor], Tensor], scores: Tensor, *, stride: int, scale: float) -> Tensor:
    """scores (K, H, W) -> the same shape after `walk`: (K, h, w) -> (K, h, w), on the grid of the network.

    scale: at which the network saw the image. The scores are enlarged to it and padded as the image was; a cell has the
    mean of its pixels.
    """
    if not len(scores):
        return scores
    size = scores.shape[1:]
    height, width = (max(1, round(side * scale)) for side in size)
    at_scale = padded(interpolated(scores, (height, width)), stride)
    walked = walk(functional.avg_pool2d(at_scale[None], stride)[0])
    return interpolated(interpolated(walked, at_scale.shape[1:])[:, :height, :width], size)


def interpolated(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """(K, H, W) to another size, bilinear, as the reference does outside its networks."""
    return functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


def padded(maps: Tensor, stride: int) -> Tensor:
    """(..., H, W) with zeros at right and bottom up to a multiple of the stride."""
    height, width = maps.shape[-2:]
    return functional.pad(maps, (0, -width % stride, 0, -height % stride))
