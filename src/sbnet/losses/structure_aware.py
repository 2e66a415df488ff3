"""The loss of SBNet (Liu et al., IJCNN 2021): consistency of two views, boundary and smoothness."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sbnet.losses.boundary import boundary, smoothness
from sbnet.losses.consistency import consistency
from sbnet.losses.two_views import TwoViews


def structure_aware(
    full: Any,
    small: Any,
    labels: Tensor,
    boundaries: Tensor,
    *,
    boundary_weight: float = 0.01,
    smoothness_weight: float = 1.0,
) -> dict[str, Tensor]:
    """{term: weighted scalar}; their sum is the loss. At least float32 inside.

    Arguments as of `TwoViews`. Terms: those of `consistency`, of weight 1, then `boundary` and `smoothness`.
    """
    views = TwoViews(full, small, labels, boundaries)
    losses = consistency(views)
    losses["boundary"] = boundary_weight * boundary(views)
    losses["smoothness"] = smoothness_weight * smoothness(views)
    return losses
