"""Pixel correlation module of SEAM (Wang et al., CVPR 2020, section 3.3).

Shapes: B batch, C classes (0 = background), h x w feature grid, n = h * w.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.cam import EPSILON, max_only, normalize_max, with_background

BLOCK = 2**24  # elements of the affinity matrix (64 MiB) that are held at once where no gradient is needed


def propagated_cam(cam: Tensor) -> Tensor:
    """What is propagated: (B, C, h, w) raw CAM -> the same shape in [0, 1], without gradient.

    Each channel is divided by its maximum; background is 1 - the foreground's maximum; where a foreground
    class is not its pixel's strongest, it is 0.
    """
    return max_only(with_background(normalize_max(cam.detach().float())))


def correlate(cam: Tensor, features: Tensor) -> Tensor:
    """Every pixel's CAM as a mean over all pixels, weighted with ReLU of the cosine of their features.

    cam (B, C, h, w), features (B, D, h, w) -> (B, C, h, w) float32; gradient flows to the features alone.
    """
    height, width = cam.shape[-2:]
    values = propagated_cam(cam).flatten(2)
    vectors = features.float().flatten(2)
    vectors = vectors / (vectors.norm(dim=1, keepdim=True) + EPSILON)
    # A row of ones sums the weights in the same product that propagates the CAM.
    values = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)
    pixels = height * width
    step = pixels if vectors.requires_grad else max(1, BLOCK // (pixels * len(cam)))
    rows = vectors.transpose(1, 2)
    sums = torch.cat([values @ (rows @ columns).relu() for columns in vectors.split(step, dim=2)], dim=2)
    return (sums[:, :-1] / (sums[:, -1:] + EPSILON)).unflatten(2, (height, width))


def resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with aligned corners, as everywhere inside the CAM network; (B, C, *, *) -> (B, C, *size)."""
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    return F.interpolate(features, size=size, mode="bilinear", align_corners=True)
