"""Pixel pairs of AffinityNet (Ahn & Kwak, CVPR 2018): which pair, how alike, and what their labels say.

Shapes: B batch, D feature channels, h x w grid, P offsets (34 at radius 5), n = from-pixels.
Pair (p, i) joins from-pixel i with the pixel `pair_offsets(radius)[p]` away from it. A border of radius - 1
pixels at left, right and bottom holds no from-pixels, so that every offset stays inside the grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """Half precision raised to float32; float64 stays."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def pair_offsets(radius: int = 5) -> list[tuple[int, int]]:
    """(dy, dx) of half the disc dy^2 + dx^2 < radius^2, no centre; by dy, then dx. 34 at radius 5."""
    below = [(dy, dx) for dy in range(1, radius) for dx in range(1 - radius, radius)]
    inside = [(dy, dx) for dy, dx in below if dy * dy + dx * dx < radius * radius]
    return [(0, dx) for dx in range(1, radius)] + inside


def grid_radius(h: int, w: int, radius: int = 5) -> int:
    """The radius used on an h x w grid: at most (min(h, w) - 1) // 2, so that from-pixels are left.

    Never below 1, which has no pairs.
    """
    return max(1, min(radius, (min(h, w) - 1) // 2))


def pair_views(grid: Tensor, radius: int) -> Iterator[tuple[Tensor, Tensor]]:
    """For each offset, views of from- and to-pixels: (..., h, w) -> (..., h - b, w - 2 b), b = radius - 1."""
    h, w = grid.shape[-2:]
    border = radius - 1
    rows, columns = h - border, w - 2 * border
    start = grid[..., :rows, border : border + columns]
    for dy, dx in pair_offsets(radius):
        yield start, grid[..., dy : dy + rows, border + dx : border + dx + columns]


class _MeanAbsoluteDifference(torch.autograd.Function):
    """Mean over channels of |from - to| for every pair.

    The backward pass computes the P differences again: stored, they would take P times the features' memory.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, radius: int) -> Tensor:
        ctx.save_for_backward(features)
        ctx.radius = radius
        pairs = [(a - b).abs_().mean(dim=1).flatten(1) for a, b in pair_views(features, radius)]
        return torch.stack(pairs, dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (features,) = ctx.saved_tensors
        result = torch.zeros_like(features)
        per_pair = (gradients[0] / features.shape[1]).unbind(dim=1)
        views = zip(pair_views(features, ctx.radius), pair_views(result, ctx.radius), per_pair, strict=True)
        for (a, b), (grad_a, grad_b), gradient in views:
            change = (a - b).sign_().mul_(gradient.reshape(len(a), 1, *a.shape[-2:]))
            grad_a += change
            grad_b -= change
        return result, None


def pair_affinity(features: Tensor, *, radius: int = 5) -> Tensor:
    """exp(-mean over channels of |f_i - f_j|) for every pair: (B, D, h, w) -> (B, P, n) in (0, 1].

    The radius shrinks to `grid_radius` on small grids. Half precision is raised to float32, since the loss
    needs 1 - affinity. NaN and infinities pass into the pairs that have them.
    """
    h, w = features.shape[-2:]
    radius = grid_radius(h, w, radius)
    features = full_precision(features)
    if not pair_offsets(radius):
        return features.new_zeros(len(features), 0, h * w)
    return torch.exp(-_MeanAbsoluteDifference.apply(features, radius))


def pair_labels(label: Tensor, *, radius: int = 5, ignore: int = 255) -> tuple[Tensor, Tensor, Tensor]:
    """What a label map (..., h, w) says of its pairs: background, foreground, negative, bool (..., P, n).

    Background: both 0. Foreground: the same class other than 0. Negative: different classes. A pair with an
    `ignore` pixel is none of them.
    """
    h, w = label.shape[-2:]
    radius = grid_radius(h, w, radius)
    pairs = list(pair_views(label, radius))
    if not pairs:
        none = label.new_zeros(*label.shape[:-2], 0, h * w, dtype=torch.bool)
        return none, none, none
    start = torch.stack([a for a, _ in pairs], dim=-3).flatten(-2)
    end = torch.stack([b for _, b in pairs], dim=-3).flatten(-2)
    known, same = (start != ignore) & (end != ignore), start == end
    return known & same & (start == 0), known & same & (start != 0), known & ~same


def label_grid(label: Tensor, *, stride: int, classes: int, ignore: int = 255) -> Tensor:
    """The label that most pixels of each cell have; of equally many, the smallest class id, and `ignore` last.

    label: (B, H, W) uint8, ids 0..classes-1 and `ignore`, with which cells over the border are filled up. Returns
    (B, ceil(H/stride), ceil(W/stride)) uint8. AffinityNet (section 3.3) pools CRF marginals and takes their argmax;
    pixels that vote need only the label PNG, some 20 kB an image.
    """
    height, width = label.shape[-2:]
    padded = F.pad(label, (0, -width % stride, 0, -height % stride), value=ignore)
    ids = torch.where(padded == ignore, classes, padded.long())
    rows, columns = padded.shape[-2] // stride, padded.shape[-1] // stride
    cells = ids.reshape(-1, rows, stride, columns, stride).permute(0, 1, 3, 2, 4).reshape(-1, stride * stride)
    votes = torch.zeros(len(cells), classes + 1, dtype=torch.int32, device=label.device)
    votes.scatter_add_(1, cells, torch.ones_like(cells, dtype=torch.int32))
    winner = votes.argmax(1).reshape(-1, rows, columns)
    return torch.where(winner == classes, ignore, winner).to(torch.uint8)
