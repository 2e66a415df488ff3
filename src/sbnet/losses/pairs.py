"""Losses on pairs of pixels: affinities (AffinityNet, IRN) and displacements (IRN).

Shapes: B batch, h x w grid, P offsets, n = from-pixels (see `ops.affinity`). Masks are those of `ops.pair_labels`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sbnet.ops.affinity import full_precision, grid_radius, pair_offsets, pair_views

EPSILON = 1e-5


def affinity(affinity: Tensor, background: Tensor, foreground: Tensor, negative: Tensor) -> Tensor:
    """Scalar loss of affinities (P, n) or (B, P, n) in (0, 1] and masks of the same shape (Ahn & Kwak, CVPR 2018,
    section 3.2.2).

    Cross entropy averaged over background pairs, foreground pairs and negative pairs (different classes),
    each over the whole batch; weights 1/4, 1/4, 1/2. A kind without pairs adds 0.
    """
    affinity = full_precision(affinity)
    alike, different = -torch.log(affinity + EPSILON), -torch.log(1 + EPSILON - affinity)
    total = affinity.new_zeros(())
    for weight, cost, mask in (
        (0.25, alike, background),
        (0.25, alike, foreground),
        (0.5, different, negative),
    ):
        chosen = mask.to(affinity.dtype)
        total = total + weight * (cost * chosen).sum() / (chosen.sum() + EPSILON)
    return total


def displacement(displacement: Tensor, background: Tensor, foreground: Tensor, *, radius: int = 10) -> Tensor:
    """Scalar loss of displacements (B, 2, h, w), down and right in grid pixels, and masks (B, P, n) at the same radius
    (Ahn, Cho & Kwak, CVPR 2019, section 4.2).

    Pixels of one object point at one centre: in a foreground pair displacements differ by the offset between its
    pixels, in a background pair not at all. L1, averaged over pairs and both directions, each kind with weight 1/2;
    a kind without pairs adds 0.
    """
    h, w = displacement.shape[-2:]
    radius = grid_radius(h, w, radius)
    sums = _PairDistances.apply(displacement.float(), background, foreground, radius)
    counts = torch.stack([2 * mask.sum() for mask in (background, foreground)])
    return 0.5 * (sums / (counts + EPSILON)).sum()


class _PairDistances(torch.autograd.Function):
    """Sums over background and foreground pairs, (2,). The gradient is a sum of signs, made on the way: kept
    differences would take 2 P times the grid's memory.
    """

    @staticmethod
    def forward(ctx: Any, field: Tensor, background: Tensor, foreground: Tensor, radius: int) -> Tensor:
        sums = field.new_zeros(2)
        signs = field.new_zeros(2, *field.shape)
        views = zip(pair_offsets(radius), pair_views(field, radius), pair_views(signs, radius), strict=True)
        for p, (offset, (start, end), (sign_start, sign_end)) in enumerate(views):
            shift = field.new_tensor(offset).reshape(1, 2, 1, 1)
            for kind, (mask, aim) in enumerate(((background, 0 * shift), (foreground, shift))):
                chosen = mask[:, p].reshape(len(field), 1, *start.shape[-2:])
                miss = (start - end - aim) * chosen
                sums[kind] += miss.abs().sum()
                sign = miss.sign_()
                sign_start[kind] += sign
                sign_end[kind] -= sign
        ctx.save_for_backward(signs)
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (signs,) = ctx.saved_tensors
        return torch.einsum("k,kbchw->bchw", gradients[0], signs), None, None, None
