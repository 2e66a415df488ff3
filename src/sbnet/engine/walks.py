"""What AffinityNet and IRN say of photos, and walks of the photos' scores on the networks' grids.

Shapes: B batch, K score maps, P pairs a cell, n cells that have them all, H x W the photo, h x w the network's grid.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet.engine.views import unmirror, views
from sbnet.methods.irn.network import IrnNetwork


def photo_affinity(network: nn.Module, stack: Tensor, *, stride: int, device: torch.device) -> Tensor:
    """AffinityNet's affinities (B, P, n) of photos (B, 3, H, W) uint8, padded with zeros at right and bottom to a
    multiple of the stride.
    """
    (images,) = views([stack], network, mirror=False, device=device)
    affinity: Tensor = network(_padded(images, stride)).affinity.float()
    return affinity


def irn_boundary(network: nn.Module, stack: Tensor, *, model: IrnNetwork, device: torch.device) -> Tensor:
    """Class boundaries of photos (B, 3, H, W) uint8 on IRN's grid: (B, h, w) in [0, 1], of the mean of a photo's
    logits and its mirror image's.

    A photo is padded to a multiple of the coarsest feature's stride, so that the features' cells lie on each other,
    and mirrored then.
    """
    (images,) = views([stack], network, mirror=False, device=device)
    padded = _padded(images, model.backbone.strides[-1])
    logits = network(torch.cat([padded, padded.flip(-1)])).boundary.float()
    height, width = (-(-side // model.output_stride) for side in images.shape[2:])
    return (unmirror(logits, len(images)) / 2)[:, :height, :width].sigmoid()


def walk_on_grid(walk: Callable[[Tensor], Tensor], scores: Tensor, *, stride: int, scale: float) -> Tensor:
    """scores (K, H, W) -> the same shape after `walk`: (K, h, w) -> (K, h, w), on the grid of the network.

    scale: at which the network saw the photo. The scores are enlarged to it and padded as the photo was; a cell has the
    mean of its pixels.
    """
    if not len(scores):
        return scores
    size = scores.shape[1:]
    height, width = (max(1, round(side * scale)) for side in size)
    at_scale = _padded(interpolated(scores, (height, width)), stride)
    walked = walk(functional.avg_pool2d(at_scale[None], stride)[0])
    return interpolated(interpolated(walked, at_scale.shape[1:])[:, :height, :width], size)


def interpolated(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """(K, H, W) to another size, bilinear, as the reference does outside its networks."""
    return functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


def _padded(maps: Tensor, stride: int) -> Tensor:
    """(..., H, W) with zeros at right and bottom up to a multiple of the stride."""
    height, width = maps.shape[-2:]
    return functional.pad(maps, (0, -width % stride, 0, -height % stride))
