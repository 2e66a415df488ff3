"""Pixel correlation module of SEAM (Wang et al., CVPR 2020, section 3.3).

Shapes: B batch, C classes (0 = background), h x w feature grid, n = h * w.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sbnet.ops.cam import EPSILON, max_only, normalize_max, with_background

BLOCK = 2**24  # elements of the affinity matrix that are held at once: 64 MiB


def propagated_cam(cam: Tensor) -> Tensor:
    """What is propagated: (B, C, h, w) raw CAM -> the same shape in [0, 1], without gradient.

    Each channel is divided by its maximum; background is 1 - the foreground's maximum; where a foreground
    class is not its pixel's strongest, it is 0.
    """
    return max_only(with_background(normalize_max(cam.detach().float())))


def correlate(cam: Tensor, features: Tensor) -> Tensor:
    """Every pixel's CAM as a mean over all pixels, weighted with ReLU of the cosine of their features.

    cam (B, C, h, w), features (B, D, h, w) -> (B, C, h, w) float32; gradient flows to the features alone. The n x n
    matrix of the weights is made in blocks of columns, in either pass, so that memory grows with n. Autocast does not
    reach it: the weights' sums and the tiny epsilons need more digits than half precision has.
    """
    with torch.autocast(features.device.type, enabled=False):
        return _correlate(cam, features)


def _correlate(cam: Tensor, features: Tensor) -> Tensor:
    height, width = cam.shape[-2:]
    values = propagated_cam(cam).flatten(2)
    vectors = features.float().flatten(2)
    vectors = vectors / (vectors.norm(dim=1, keepdim=True) + EPSILON)
    # A row of ones sums the weights in the same product that propagates the CAM.
    values = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)
    sums = _Propagation.apply(values, vectors, max(1, BLOCK // (height * width * len(cam))))
    return (sums[:, :-1] / (sums[:, -1:] + EPSILON)).unflatten(2, (height, width))


class _Propagation(torch.autograd.Function):
    """values V (B, K, n), vectors F (B, D, n) -> V relu(F^T F) (B, K, n), `step` columns at a time.

    The backward pass computes the weights again; they are n^2 numbers, and the network before them costs far more.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, vectors: Tensor, step: int) -> Tensor:
        ctx.save_for_backward(values, vectors)
        ctx.step = step
        rows = vectors.transpose(1, 2)
        return torch.cat([values @ (rows @ columns).relu_() for columns in vectors.split(step, dim=2)], dim=2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        values, vectors = ctx.saved_tensors
        rows, sources = vectors.transpose(1, 2), values.transpose(1, 2)
        as_column, as_row = [], torch.zeros_like(vectors)
        with torch.autocast(vectors.device.type, enabled=False):  # where someone calls backward inside of it
            for columns, block in zip(vectors.split(ctx.step, 2), gradient.split(ctx.step, 2), strict=True):
                change = (sources @ block).mul_(rows @ columns > 0)
                as_column.append(vectors @ change)
                as_row.baddbmm_(columns, change.transpose(1, 2))
        return None, as_row + torch.cat(as_column, dim=2), None


def resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with aligned corners, as everywhere inside the CAM network; (B, C, *, *) -> (B, C, *size)."""
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    return F.interpolate(features, size=size, mode="bilinear", align_corners=True)
