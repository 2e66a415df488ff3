"""The random walk by the dense (h w, h w) matrix, as the formula reads."""

from __future__ import annotations

import torch
from torch import Tensor

from sbnet.ops.affinity import grid_radius, pair_views


def random_walk(
    scores: Tensor, affinity: Tensor, *, radius: int = 5, beta: float = 8, steps: int = 64
) -> Tensor:
    """As `sbnet.ops.random_walk`, of a single image; for small grids."""
    k, h, w = scores.shape
    matrix = torch.eye(h * w, dtype=scores.dtype, device=scores.device)
    index = torch.arange(h * w, device=scores.device).reshape(h, w)
    for (start, end), row in zip(pair_views(index, grid_radius(h, w, radius)), affinity, strict=True):
        matrix[start.flatten(), end.flatten()] = row**beta
        matrix[end.flatten(), start.flatten()] = row**beta
    transition = torch.linalg.matrix_power(matrix / matrix.sum(dim=0), steps)
    return (scores.reshape(k, -1) @ transition).reshape(k, h, w)
