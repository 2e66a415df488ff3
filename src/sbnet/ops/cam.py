"""Normalisation of class activation maps (CAMs).

Shapes: B batch, C classes with background at 0, K present foreground classes, H x W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-5


def normalize_min_max(cam: Tensor) -> Tensor:
    """ReLU, then each image's and channel's range onto [0, 1): (..., H, W) -> the same. SEAM's `max_norm`.

    Gradients flow through the minimum and the maximum too.
    """
    cam = cam.relu()
    low, high = cam.amin(dim=(-2, -1), keepdim=True), cam.amax(dim=(-2, -1), keepdim=True)
    return (cam - low - EPSILON).relu() / (high - low + EPSILON)


def normalize_max(cam: Tensor) -> Tensor:
    """ReLU, then divided by each image's and channel's maximum: (..., H, W) -> [0, 1). PCM's input."""
    cam = cam.relu()
    return (cam - EPSILON).relu() / (cam.amax(dim=(-2, -1), keepdim=True) + EPSILON)


def with_background(cam: Tensor) -> Tensor:
    """(B, C, H, W) with channel 0 replaced by 1 - the maximum over the foreground channels."""
    foreground = cam[:, 1:]
    return torch.cat([1 - foreground.amax(dim=1, keepdim=True), foreground], dim=1)


def max_only(cam: Tensor) -> Tensor:
    """(B, C, H, W) with 0 for foreground entries below their pixel's foreground maximum; channel 0 stays."""
    foreground = cam[:, 1:]
    strongest = foreground >= foreground.amax(dim=1, keepdim=True)
    return torch.cat([cam[:, :1], foreground * strongest], dim=1)


def normalize_scores(scores: Tensor) -> Tensor:
    """Summed multi-scale CAMs (K, H, W) -> scores in [0, 1): per class, minimum to 0 and maximum to almost 1.

    The reference leaves the pixels at the minimum slightly below 0 (at -1 for a class without activation);
    here they are 0. NaN anywhere in a map makes all of it NaN, which no file of scores takes.
    """
    scores = scores.clamp(min=0)
    low, high = scores.amin(dim=(-2, -1), keepdim=True), scores.amax(dim=(-2, -1), keepdim=True)
    return ((scores - low - EPSILON) / (high - low + EPSILON)).clamp(min=0)


def with_background_score(scores: Tensor, *, alpha: float, power: float = 1.0) -> Tensor:
    """Scores (K, H, W) in [0, 1] -> (K + 1, H, W): background (1 - the largest of scores^power)^alpha, 1 where K = 0; then
    scores^power. A larger alpha means less background (Ahn & Kwak, CVPR 2018, eq. 2).

    `power` sharpens wide CAMs. Where a CAM is at its best cut at 0.5, an alpha of 1 would fit it, whose unary terms
    are so flat there that the CRF smooths objects away; cubed, the cut lies at 0.125, and an alpha of 16 fits.
    """
    if not len(scores):
        return scores.new_ones(1, *scores.shape[1:])
    sharpened = scores**power
    background = (1 - sharpened.amax(dim=0, keepdim=True)) ** alpha
    return torch.cat([background, sharpened])
