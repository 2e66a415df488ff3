"""Affinities along paths that boundaries cut (Ahn, Cho & Kwak, IRN, CVPR 2019, section 4.1), and the walk along them.

Shapes: B batch, K maps, h x w grid, P offsets (152 at radius 10, 34 at 5), n = from-pixels (see `affinity.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sbnet.ops.affinity import full_precision, grid_radius, pair_offsets
from sbnet.ops.random_walk import random_walk


def path_pixels(dy: int, dx: int) -> list[tuple[int, int]]:
    """Pixels (y, x) on the path from (0, 0) to (dy, dx), both ends among them.

    Those of the rectangle between the ends whose centres are less than 1 away from the straight line.
    """
    signs = (1 if dy >= 0 else -1, 1 if dx >= 0 else -1)
    return [
        (signs[0] * y, signs[1] * x)
        for y in range(abs(dy) + 1)
        for x in range(abs(dx) + 1)
        if (abs(dy) * x - abs(dx) * y) ** 2 < dy * dy + dx * dx
    ]


def _path_views(grid: Tensor, radius: int, offset: tuple[int, int]) -> list[Tensor]:
    """For each pixel of an offset's path, the view (..., rows, columns) of it, seen from all from-pixels."""
    h, w = grid.shape[-2:]
    border = radius - 1
    rows, columns = h - border, w - 2 * border
    return [grid[..., y : y + rows, border + x : border + x + columns] for y, x in path_pixels(*offset)]


class _PathMaximum(torch.autograd.Function):
    """The largest value on every pair's path: (B, h, w) -> (B, P, n). The gradient goes to the first pixel that has it.

    One offset at a time, a path's pixels as shifted views of the map: beside the result there is only a byte a pair.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, radius: int) -> Tensor:
        offsets = pair_offsets(radius)
        rows, columns = values.shape[1] - (radius - 1), values.shape[2] - 2 * (radius - 1)
        largest = values.new_full((len(values), len(offsets), rows, columns), -torch.inf)
        trains = ctx.needs_input_grad[0]
        place = torch.zeros(largest.shape if trains else 0, dtype=torch.uint8, device=values.device)
        for p, offset in enumerate(offsets):
            for number, view in enumerate(_path_views(values, radius, offset)):
                if trains:
                    place[:, p].masked_fill_(view > largest[:, p], number)
                torch.maximum(largest[:, p], view, out=largest[:, p])
        ctx.save_for_backward(place)
        ctx.radius, ctx.shape = radius, values.shape
        return largest.flatten(2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (place,) = ctx.saved_tensors
        pixels = torch.arange(ctx.shape[1:].numel(), device=place.device).reshape(ctx.shape[1:])
        result = gradients[0].new_zeros(len(place), pixels.numel())
        for p, offset in enumerate(pair_offsets(ctx.radius)):
            on_path = torch.stack([view.flatten() for view in _path_views(pixels, ctx.radius, offset)])
            target = on_path.gather(0, place[:, p].flatten(1).long())
            result.scatter_add_(1, target, gradients[0][:, p])
        return result.reshape(ctx.shape), None


def path_affinity(boundary: Tensor, *, radius: int = 10) -> Tensor:
    """1 - the strongest boundary on the path between the pixels of every pair: (B, h, w) -> (B, P, n), in [0, 1].

    boundary: probabilities. Pairs and their order are those of `pair_affinity` and `pair_labels`; the radius shrinks to
    `grid_radius` on small grids. Half precision is raised to float32, since the loss needs 1 - affinity.
    """
    h, w = boundary.shape[-2:]
    radius = grid_radius(h, w, radius)
    boundary = full_precision(boundary)
    if not pair_offsets(radius):
        return boundary.new_zeros(len(boundary), 0, h * w)
    return 1 - _PathMaximum.apply(boundary, radius)


def boundary_walk(
    scores: Tensor, boundary: Tensor, *, radius: int = 5, beta: float = 10, steps: int = 256
) -> Tensor:
    """Scores (K, h, w) spread as far as boundaries (h, w) in [0, 1] let them: (K, h, w), IRN's section 5.

    Scores on boundaries count less, scores (1 - boundary), then `random_walk` along `path_affinity`. Around the grid
    lies a margin that is all boundary, so that every pixel has its pairs inside the grid and none beyond it.
    The defaults are the reference's: trained with radius 10, walked with 5. Raises ValueError as `random_walk` does.
    """
    h, w = boundary.shape
    margin, least = radius - 1, 2 * radius + 1  # on grids smaller than that the pairs' radius shrinks
    right, bottom = max(margin, least - w - margin), max(margin, least - h)
    around = (margin, right, 0, bottom)
    walls = functional.pad(boundary.detach(), around, value=1.0)
    affinity = path_affinity(walls[None], radius=radius)[0]
    kept = functional.pad(scores * (1 - boundary), around)
    walked = random_walk(kept, affinity, radius=radius, beta=beta, steps=steps)
    return walked[:, :h, margin : margin + w]
