"""Random walk of scores along pixel affinities (Ahn & Kwak, CVPR 2018, section 3.3).

Shapes: K maps on an h x w grid, P offsets, n from-pixels (see `affinity.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .affinity import grid_radius, pair_offsets, pair_views
from .compiled import kernels


def random_walk(
    scores: Tensor, affinity: Tensor, *, radius: int = 5, sharpness: float = 8, steps: int = 64
) -> Tensor:
    """Scores (K, h, w) after `steps` steps along affinity (P, n) from `pair_affinity`: (K, h, w).

    The symmetric matrix of affinity^sharpness (the papers' beta) with a unit diagonal, columns divided by
    their sums, is T; the answer is the scores as row vectors times T^steps. So each step makes a pixel a
    weighted mean of itself and its neighbours, and the values stay within the map's range. T is never built:
    a step adds the P shifted maps and their P mirrors, O(P n) instead of the dense O((h w)^2).
    On the CPU float32 and float64 run compiled, each in its own precision; other dtypes and devices run in PyTorch, in
    float64 inside. No gradient passes through.
    Raises ValueError for an affinity of another grid or outside [0, 1], scores that are not finite, and steps that are
    no whole number of at least 0.
    """
    h, w = scores.shape[1:]
    radius = grid_radius(h, w, radius)
    rows, columns = h - (radius - 1), w - 2 * (radius - 1)
    offsets = pair_offsets(radius)
    if min(h, w) == 0 or affinity.shape != (len(offsets), rows * columns):
        have, grid = tuple(affinity.shape), tuple(scores.shape)
        raise ValueError(f"affinity {have} does not fit scores {grid} at radius {radius}")
    if not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps: {steps!r} is not a whole number of at least 0")
    if not scores.isfinite().all():
        raise ValueError("scores: not all are finite")
    if not ((affinity >= 0) & (affinity <= 1)).all():
        raise ValueError("affinity: not all are in [0, 1]")
    compiled = scores.device.type == "cpu" and scores.dtype in (torch.float32, torch.float64)
    scores, affinity = scores.detach(), affinity.detach()
    if not compiled:
        return random_walk_stencil(scores, affinity, radius=radius, sharpness=sharpness, steps=steps)
    weights = (affinity.to(scores) ** sharpness).reshape(-1, rows, columns).contiguous().numpy()
    down, right = ([offset[axis] for offset in offsets] for axis in (0, 1))
    walked = kernels().random_walk(scores.contiguous().numpy(), weights, down, right, radius - 1, steps)
    return torch.from_numpy(walked)


def random_walk_stencil(
    scores: Tensor, affinity: Tensor, *, radius: int = 5, sharpness: float = 8, steps: int = 64
) -> Tensor:
    """The same in PyTorch on any device; `radius` as `grid_radius` gives it."""
    h, w = scores.shape[1:]
    rows, columns = h - (radius - 1), w - 2 * (radius - 1)
    weights = [
        row.reshape(1, rows, columns) for row in affinity.to(scores.device, torch.float64) ** sharpness
    ]
    scale = scores.new_ones(1, h, w, dtype=torch.float64)
    for (start, end), weight in zip(pair_views(scale, radius), weights, strict=True):
        start += weight
        end += weight
    scale.reciprocal_()
    now = scores.to(torch.float64, copy=True)
    after = torch.empty_like(now)
    now_pairs, after_pairs = list(pair_views(now, radius)), list(pair_views(after, radius))
    for _ in range(steps):
        after.copy_(now)
        for (start, end), (new_start, new_end), weight in zip(now_pairs, after_pairs, weights, strict=True):
            new_start.addcmul_(end, weight)
            new_end.addcmul_(start, weight)
        after *= scale
        now, after, now_pairs, after_pairs = after, now, after_pairs, now_pairs
    return now.to(scores.dtype)


def random_walk_reference(
    scores: Tensor, affinity: Tensor, *, radius: int = 5, sharpness: float = 8, steps: int = 64
) -> Tensor:
    """The same by the dense (h w, h w) matrix, as the formula reads; for tests on small grids."""
    k, h, w = scores.shape
    matrix = torch.eye(h * w, dtype=scores.dtype, device=scores.device)
    index = torch.arange(h * w, device=scores.device).reshape(h, w)
    for (start, end), row in zip(pair_views(index, grid_radius(h, w, radius)), affinity, strict=True):
        matrix[start.flatten(), end.flatten()] = row**sharpness
        matrix[end.flatten(), start.flatten()] = row**sharpness
    transition = torch.linalg.matrix_power(matrix / matrix.sum(dim=0), steps)
    return (scores.reshape(k, -1) @ transition).reshape(k, h, w)
