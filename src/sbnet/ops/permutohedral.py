"""The permutohedral lattice in PyTorch, on any device (Adams, Baek and Davis, Eurographics 2010).

A Gaussian sum over all pairs of points takes N^2 products. The lattice comes near it in three passes: *splat* each
point's value onto the corners of the simplex around it, *blur* along the lattice's axes, *slice*: gather the corners.
src/kernels/lattice.cpp builds the same lattice on the CPU.

B sets of N points each (the images of a batch, and their pixels), D features, C channels of values. A simplex has
D + 1 corners; V distinct vertices. A vertex that no point touches does not exist, and its value is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_BAG = 64  # the most numbers that one thread adds up, one after another


class PermutohedralLattice:
    """Filters values at points by a Gaussian of deviation 1 of their features' distance, normalised symmetrically.

    features: (B, N, D) float32, at least 0; the sets do not see each other. bounds: what no feature exceeds, (D,).
    Raises ValueError for features whose vertices no whole number of 63 bits can tell apart, and for 2^31 corners.
    """

    def __init__(self, features: Tensor, *, bounds: Sequence[float]) -> None:
        sets, points, dimensions = features.shape
        count = dimensions + 1
        if sets * points * count >= 2**31:
            raise ValueError(
                f"image: {sets} x {points} pixels are too many for a lattice; give fewer at once"
            )
        steps, set_step = _key_steps(bounds, sets)
        multiple, by_rank, weights = _simplices(_elevate(features.flatten(0, 1)))
        keys = _corner_keys(multiple, by_rank, steps).view(sets, -1)
        keys += torch.arange(sets, device=keys.device)[:, None] * set_step
        vertices, corners, touches = keys.flatten().unique(return_inverse=True, return_counts=True)
        del keys, multiple, by_rank
        self._corners = corners.int().view(-1, count)
        self._weights = weights
        self._neighbours = [_neighbours(vertices, axis, steps) for axis in range(count)]
        # The same once more, vertex by vertex, so that splatting adds in a fixed order and needs no atomic sums.
        order = corners.argsort(stable=True)
        self._splat_points = (order // count).int()
        self._splat_weights = weights.flatten()[order]
        self._bags = _bags(touches)
        self._factor = 1 / (1 + 0.5**dimensions)  # of the blur: Adams et al.'s constant
        self._normalize()

    def filter(self, values: Tensor) -> Tensor:
        """Values (B N, C) float32 -> the same shape."""
        # The last row is the vertex that is not there.
        lattice = functional.pad(self._splat(values), (0, 0, 0, 1))
        for ahead, behind in self._neighbours:
            around = lattice.index_select(0, ahead) + lattice.index_select(0, behind)
            lattice[:-1].add_(around, alpha=0.5)
        sliced = functional.embedding_bag(
            self._corners, lattice, mode="sum", per_sample_weights=self._weights
        )
        return sliced.mul_(self._factor)

    def _splat(self, values: Tensor) -> Tensor:
        """(B N, C) -> (V, C): each vertex's sum of weight times value, bag by bag, then the sums of its bags."""
        sums = functional.embedding_bag(
            self._splat_points, values, self._bags[0], mode="sum", per_sample_weights=self._splat_weights
        )
        for bags in self._bags[1:]:
            rows = torch.arange(len(sums), dtype=bags.dtype, device=bags.device)
            sums = functional.embedding_bag(rows, sums, bags, mode="sum")
        return sums

    def _normalize(self) -> None:
        """Fold 1 / sqrt(filter(1)) into the weights, which are used on both sides of the blur."""
        norm = (self.filter(torch.ones_like(self._weights[:, :1])) + 1e-20).rsqrt()
        self._weights = self._weights * norm
        self._splat_weights = self._splat_weights * norm[:, 0].index_select(0, self._splat_points)


def _scales(dimensions: int) -> list[float]:
    """What each feature is multiplied by, so that the blur has deviation 1: in single precision, as the C++ has it."""
    deviation = torch.tensor(math.sqrt(2 / 3) * (dimensions + 1), dtype=torch.float32).item()
    scales = [1 / math.sqrt((i + 2) * (i + 1)) * deviation for i in range(dimensions)]
    return torch.tensor(scales, dtype=torch.float32).tolist()


def _elevate(features: Tensor) -> Tensor:
    """(N, D) -> (N, D + 1) coordinates in the plane of sum 0 in which the lattice lies.

    One rounding an operation: fused ones (addcmul, alpha=) round otherwise on a GPU, and points would change simplex.
    """
    elevated, total = [], torch.zeros_like(features[:, 0])
    for i, scale in reversed(list(enumerate(_scales(features.shape[1]), start=1))):
        scaled = features[:, i - 1] * scale
        elevated.append(total - scaled * i)
        total = total + scaled
    return torch.stack([total, *reversed(elevated)], dim=1)


def _simplices(elevated: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex around each point: three tensors (N, D + 1).

    All coordinates of a corner have one remainder modulo D + 1, which tells the corners apart. multiple: the corner of
    remainder 0, over D + 1. by_rank: its coordinates, that in which the point lies least beyond it first; from each
    corner to the next, all coordinates gain 1 but one, the next in this order, which loses D. weights: of the corners.
    """
    count = elevated.shape[1]
    multiple = (elevated * (1 / count)).round()  # ties to even
    offset = elevated - multiple * count
    rank = offset.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    rank = rank + multiple.sum(1, keepdim=True).long()
    # The rounded point need not lie in the plane: the coordinates rounded furthest step back into it.
    step = (rank < 0).long() - (rank >= count).long()
    rank, multiple = rank + count * step, multiple.long() + step
    by_rank = rank.argsort(dim=1, descending=True)
    share = ((elevated - multiple * count) * (1 / count)).gather(1, by_rank)
    weights = share - share.roll(1, dims=1)
    weights[:, 0] += 1
    return multiple, by_rank, weights


def _key_steps(bounds: Sequence[float], sets: int) -> tuple[list[int], int]:
    """How a vertex becomes one number: its coordinates' multiples of D + 1 as digits, its remainder, and its set.

    Returns what a multiple of each coordinate counts, 0 for the last one, which follows from the others; and a set.
    """
    count = len(bounds) + 1
    scales = _scales(len(bounds))
    elevated = sum(i * bound * scale for i, (bound, scale) in enumerate(zip(bounds, scales, strict=True), 1))
    if elevated < 1e6:
        reach = math.ceil(elevated / count) + 4  # beyond the largest: rounding, stepping back, a neighbour
        digits = 2 * reach + 1
        steps = [count * digits**i for i in range(count)]
        if sets * steps[-1] < 2**63:
            return [*steps[:-1], 0], steps[-1]
    raise ValueError(
        "a deviation (sxy, srgb) is too small for an image of this size; take a larger one, or a smaller image"
    )


def _corner_keys(multiple: Tensor, by_rank: Tensor, steps: list[int]) -> Tensor:
    """The keys of each simplex's corners, remainder 0 to D: (N, D + 1) int64, about 0 in the middle."""
    step = torch.tensor(steps, device=multiple.device)
    first = (multiple * step).sum(1, keepdim=True)
    way = (1 - step[by_rank[:, :-1]]).cumsum(1)
    return torch.cat([first, first + way], dim=1)


def _neighbours(vertices: Tensor, axis: int, steps: list[int]) -> tuple[Tensor, Tensor]:
    """Both neighbours of each vertex (V,) along an axis, int32; V where there is none. vertices: keys, ascending.

    One of them has D more in the axis' coordinate and 1 less in all others: its remainder is 1 less, and the axis'
    multiple 1 more; from remainder 0 on it is D, and all other multiples are 1 less.
    """
    count, missing = len(steps), len(vertices)
    wraps = vertices % count == 0
    wanted = vertices + torch.where(wraps, count - 1 - sum(steps) + steps[axis], steps[axis] - 1)
    place = torch.searchsorted(vertices, wanted).clamp_(max=missing - 1)
    ahead = torch.where(vertices[place] == wanted, place, missing)
    behind = torch.full((missing + 1,), missing, device=vertices.device)
    behind[ahead] = torch.arange(missing, device=vertices.device)  # those without meet in the last place
    return ahead.int(), behind[:-1].int()


def _bags(counts: Tensor) -> list[Tensor]:
    """Numbers lie group by group, counts (V,) >= 1 to each: where bags of at most `_BAG` begin, int32.

    The next entry does so for the sums of these bags, and so on until each group is one bag.
    """
    levels = []
    while True:
        bags = (counts + _BAG - 1) // _BAG
        group = torch.arange(len(counts), device=counts.device).repeat_interleave(bags)
        within = torch.arange(len(group), device=counts.device) - (bags.cumsum(0) - bags)[group]
        levels.append(((counts.cumsum(0) - counts)[group] + _BAG * within).int())
        if len(group) == len(counts):
            return levels
        counts = bags
