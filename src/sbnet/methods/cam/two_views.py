"""Objective on two views: an image and a smaller copy, whose maps must agree (SEAM, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sbnet import losses


def shrunk(images: Tensor, shrink: float) -> Tensor:
    """(B, 3, H, W) -> the second view, `shrink` times as large."""
    size = [int(side * shrink) for side in images.shape[-2:]]
    return functional.interpolate(images, size, mode="bilinear", align_corners=True)


def consistency_terms(
    shrink: float,
) -> Callable[[Callable[..., Any], Mapping[str, Tensor]], dict[str, Tensor]]:
    """Class, min-pooling, equivariance and cross terms of a network with pixel correlation."""

    def terms(network: Callable[..., Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        images = batch["image"].contiguous(memory_format=torch.channels_last)
        full, small = (network(view, enlarge=False) for view in (images, shrunk(images, shrink)))
        return losses.consistency(losses.TwoViews(full, small, batch["labels"]))

    return terms
