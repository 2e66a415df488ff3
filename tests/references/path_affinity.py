"""Path affinities as the formula reads: all pixels of a path at once."""

from __future__ import annotations

import torch
from torch import Tensor

from sbnet.ops.affinity import grid_radius, pair_offsets
from sbnet.ops.path_affinity import _path_views


def path_affinity(boundary: Tensor, *, radius: int = 10) -> Tensor:
    """As `sbnet.ops.path_affinity`."""
    h, w = boundary.shape[-2:]
    radius = grid_radius(h, w, radius)
    paths = [torch.stack(_path_views(boundary, radius, offset)) for offset in pair_offsets(radius)]
    return torch.stack([(1 - path).amin(dim=0).flatten(-2) for path in paths], dim=-2)
