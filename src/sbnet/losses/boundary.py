"""Boundary and smoothness losses (SBNet, IJCNN 2021).

Shapes: B images, C classes with background at 0, N present maps (see `present.py`), H x W pixels.
Means are over all B C H W elements, absent classes included.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .present import Present, full_precision

FIRST_ORDER_WEIGHT = 10.0
SHARPNESS = 10.0  # of the weight exp(-SHARPNESS boundary), which lets the CAM change at boundaries
SOFTNESS = 0.001  # below it the absolute value is rounded off


def boundary(logits: Tensor, boundaries: Tensor, present: Present) -> Tensor:
    """Binary cross entropy of boundary logits (B, C, H, W) against boundary maps (N, H, W): scalar.

    Absent classes have no boundary. Written as mean softplus(x) - mean x t, the second over the N maps alone.
    """
    attraction = present.masked(present.select(logits) * boundaries).sum() / logits.numel()
    return F.softplus(full_precision(logits)).sum() / logits.numel() - attraction


def smoothness(cam: Tensor, boundaries: Tensor, present: Present) -> Tensor:
    """First and second derivatives of sigmoid(CAM) away from boundaries: cam raw, both (N, H, W)."""
    weight = torch.exp(-SHARPNESS * boundaries)
    dx, dy, laplacian = (_absolute(change * weight) for change in _Derivatives.apply(cam.sigmoid()))
    total = FIRST_ORDER_WEIGHT * (dx + dy) + laplacian
    return (total * present.value.to(total.dtype)).sum() / present.elements(cam)


def _absolute(values: Tensor) -> Tensor:
    """Sum over pixels of sqrt(v^2 + SOFTNESS^2): (N, H, W) -> (N,)."""
    return torch.sqrt(values.square() + SOFTNESS**2).sum(dim=(-2, -1))


class _Derivatives(torch.autograd.Function):
    """Sobel x, Sobel y (unscaled 1 2 1) and 8-neighbour Laplacian (centre 8) of maps (N, H, W), zero padding.

    As slices with their own backward pass (each filter is its own adjoint but for the sign), since a
    convolution of a single channel takes ten times as long on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _sobel(maps, -1), _sobel(maps, -2), _laplacian(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        dx, dy, laplacian = gradients
        return _laplacian(laplacian) - _sobel(dx, -1) - _sobel(dy, -2)


def _sobel(maps: Tensor, axis: int) -> Tensor:
    before, _, after = _neighbours(maps, axis)
    before, middle, after = _neighbours(after - before, -3 - axis)
    return (before + after).add_(middle, alpha=2)


def _laplacian(maps: Tensor) -> Tensor:
    """From differences of neighbours, which lose less to rounding than 9 p minus a sum over 3 x 3."""
    before, middle, after = _neighbours(_curvature(maps, -1), -2)
    return (before + after).add_(middle).add_(_curvature(maps, -2), alpha=3).neg_()


def _curvature(maps: Tensor, axis: int) -> Tensor:
    before, middle, after = _neighbours(maps, axis)
    return (before - middle).add_(after - middle)


def _neighbours(maps: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """The maps moved by one pixel each way along an axis, zeros entering, and as they are in between."""
    padded = F.pad(maps, (1, 1) if axis == -1 else (0, 0, 1, 1))
    size = maps.shape[axis]
    return padded.narrow(axis, 0, size), maps, padded.narrow(axis, 2, size)
