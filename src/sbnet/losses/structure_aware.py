"""The loss of SBNet (Liu et al., IJCNN 2021): consistency of two views, boundary and smoothness.

Shapes: B images, C classes with background at 0, N present maps (see `two_views.py`), H x W pixels.
Means are over all B C H W elements, absent classes included.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sbnet.losses.consistency import consistency
from sbnet.losses.two_views import Present, TwoViews, mean, without_autocast
from sbnet.ops.affinity import full_precision

FIRST_ORDER_WEIGHT = 10.0
SHARPNESS = 10.0  # of the weight exp(-SHARPNESS boundary), which lets the CAM change at boundaries
SOFTNESS = 0.001  # below it the absolute value is rounded off


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


@without_autocast
def boundary(views: TwoViews) -> Tensor:
    """Mean over both views of `boundary_entropy` of the fused boundary logits: scalar, at least float32.

    Raises ValueError for views without boundary logits or boundary maps.
    """
    total = []
    for view, target in zip(views.views, views.boundaries, strict=True):
        if view.boundary_fused is None:
            raise ValueError("boundary_fused is None: run the network with its boundary head")
        total.append(boundary_entropy(view.boundary_fused, target, views.present))
    return mean(total)


@without_autocast
def smoothness(views: TwoViews) -> Tensor:
    """Mean over both views of the `roughness` of their CAMs: scalar, at least float32.

    Raises ValueError for views without boundary maps.
    """
    maps = zip(views.cams, views.boundaries, strict=True)
    return mean([roughness(cam, target, views.present) for cam, target in maps])


def boundary_entropy(logits: Tensor, boundaries: Tensor, present: Present) -> Tensor:
    """Binary cross entropy of boundary logits (B, C, H, W) against boundary maps (N, H, W): scalar.

    Absent classes have no boundary. Written as mean softplus(x) - mean x t, the second over the N maps alone.
    """
    attraction = (present.select(logits) * boundaries).sum() / logits.numel()
    return F.softplus(full_precision(logits)).sum() / logits.numel() - attraction


def roughness(cam: Tensor, boundaries: Tensor, present: Present) -> Tensor:
    """First and second derivatives of sigmoid(CAM) away from boundaries: cam raw, both (N, H, W)."""
    total = _Roughness.apply(cam.sigmoid(), torch.exp(-SHARPNESS * boundaries))
    return total.sum() / present.elements(cam)


class _Roughness(torch.autograd.Function):
    """Maps p and weights g (N, H, W) -> (N,): the sum over pixels of 10 (rho(g Sx p) + rho(g Sy p)) + rho(g L p), where
    rho(s) = sqrt(s^2 + SOFTNESS^2). No gradient for g.

    The gradient is made on the way, so that one map of it is kept instead of what autograd keeps of every operation.
    Forward and backward, CPU seconds at 21 x 448 x 448 and 8 x 256 x 256: 79 and 6.7 ms; with the filters alone as a
    function, each by itself, 157 and 9.8; with one depthwise convolution of the three kernels, 149 and 13.0.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor) -> Tensor:
        total, softness = maps.new_zeros(len(maps)), maps.new_tensor(SOFTNESS**2)
        changes = _derivatives(maps)
        for change, scale in zip(changes, (FIRST_ORDER_WEIGHT, FIRST_ORDER_WEIGHT, 1.0), strict=True):
            change.mul_(weight)
            absolute = torch.addcmul(softness, change, change).sqrt_()
            total.add_(absolute.sum(dim=(-2, -1)), alpha=scale)
            change.div_(absolute).mul_(weight)
        ctx.save_for_backward(_transposed(*changes))
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * gradients[0][:, None, None], None


FORTH, HERE, BACK = slice(2, None), slice(1, -1), slice(None, -2)  # along an axis padded by one at both ends


def _derivatives(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sobel x, Sobel y (unscaled 1 2 1) and 8-neighbour Laplacian (centre 8) of maps (N, H, W), zero padding.

    The Laplacian is made from differences of neighbours, which lose less to rounding than 9 p minus a sum over 3 x 3.
    """
    padded = F.pad(maps, (1, 1, 1, 1))
    left, middle, right = padded[..., BACK], padded[..., HERE], padded[..., FORTH]
    across, smooth = right - left, (left + right).add_(middle, alpha=2)
    curved = (left - middle).add_(right - middle)
    dx = (across[:, BACK] + across[:, FORTH]).add_(across[:, HERE], alpha=2)
    dy = smooth[:, FORTH] - smooth[:, BACK]
    upright = (middle[:, BACK] - maps).add_(middle[:, FORTH] - maps)
    laplacian = (curved[:, BACK] + curved[:, FORTH]).add_(curved[:, HERE]).add_(upright, alpha=3).neg_()
    return dx, dy, laplacian


def _transposed(dx: Tensor, dy: Tensor, laplacian: Tensor) -> Tensor:
    """The transpose of `_derivatives`, its first two weighted: the gradient of the maps from those of the three."""
    across, down, second = (F.pad(gradient, (1, 1, 1, 1)) for gradient in (dx, dy, laplacian))
    tall = (across[:, BACK] + across[:, FORTH]).add_(across[:, HERE], alpha=2)
    wide = (down[..., BACK] + down[..., FORTH]).add_(down[..., HERE], alpha=2)
    first = (tall[..., BACK] - tall[..., FORTH]).add_(wide[:, BACK]).sub_(wide[:, FORTH])
    rows = (second[..., BACK] + second[..., FORTH]).add_(second[..., HERE])
    curved = (9 * laplacian).sub_(rows[:, BACK]).sub_(rows[:, HERE]).sub_(rows[:, FORTH])
    return curved.add_(first, alpha=FIRST_ORDER_WEIGHT)
