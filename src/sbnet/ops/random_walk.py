"""Random walk of scores along pixel affinities (Ahn & Kwak, CVPR 2018, section 3.3).

Shapes: B images, K maps on an h x w grid, P offsets, n from-pixels (see `affinity.py`).
"""

from __future__ import annotations

import math
from numbers import Integral

import torch
from torch import Tensor
from torch.nn import functional

from sbnet.ops.affinity import grid_radius, pair_offsets, pair_views
from sbnet.ops.compiled import kernels

_PRODUCT = 2**28  # bytes that `random_walk_torch` multiplies in one go, where a single map does not take more


def random_walk(
    scores: Tensor, affinity: Tensor, *, radius: int = 5, beta: float = 8, steps: int = 64
) -> Tensor:
    """Scores (K, h, w) after `steps` steps along affinity (P, n) from `pair_affinity`: (K, h, w).

    A batch, scores (B, K, h, w) and affinity (B, P, n), gives (B, K, h, w).
    The symmetric matrix of affinity^beta with a unit diagonal, columns divided by
    their sums, is T; the answer is the scores as row vectors times T^steps. So each step makes a pixel a
    weighted mean of itself and its neighbours, and the values stay within the map's range. T is never built:
    a step adds the P shifted maps and their P mirrors, O(P n) instead of the dense O((h w)^2).
    On the CPU it runs compiled, image by image, float64 in its own precision and all else in float32; on other devices
    in PyTorch, all images at once, in float64 inside: equal within 1e-5. No gradient passes through.
    Raises ValueError for an affinity of another grid or outside [0, 1], scores that are not finite floats, a beta
    below 0 or not finite, and steps that are no whole number of at least 0.
    """
    radius = _check(scores, affinity, radius, beta, steps)
    scores, affinity = scores.detach(), affinity.detach().to(scores.device)
    walk = _walk_compiled if scores.device.type == "cpu" else random_walk_torch
    batch = (scores, affinity) if scores.ndim == 4 else (scores[None], affinity[None])
    walked = walk(*batch, radius=radius, beta=beta, steps=steps)
    return walked.reshape(scores.shape).to(scores.dtype)


def _walk_compiled(scores: Tensor, affinity: Tensor, *, radius: int, beta: float, steps: int) -> Tensor:
    h, w = scores.shape[-2:]
    inside = torch.float64 if scores.dtype == torch.float64 else torch.float32
    rows, columns = h - (radius - 1), w - 2 * (radius - 1)
    weights = (affinity.to(inside) ** beta).unflatten(-1, (rows, columns)).contiguous()
    maps = scores.to(inside).contiguous()
    down, right = ([offset[axis] for offset in pair_offsets(radius)] for axis in (0, 1))
    walked = torch.empty_like(maps)
    for photo, photo_weights, result in zip(maps, weights, walked, strict=True):
        of_photo = kernels().random_walk(photo.numpy(), photo_weights.numpy(), down, right, radius - 1, steps)
        result.copy_(torch.from_numpy(of_photo))
    return walked


def random_walk_torch(
    scores: Tensor, affinity: Tensor, *, radius: int = 5, beta: float = 8, steps: int = 64
) -> Tensor:
    """The same in PyTorch on any device, of a batch, in float64; `radius` as `grid_radius` gives it.

    A step multiplies each pixel's window of 2 radius - 1 squared with its shares and adds up: three operations, where
    one for each offset would leave a GPU waiting for the next. Memory: about 2.7 kB a pixel of the grid.
    """
    side = 2 * radius - 1
    h, w = scores.shape[-2:]
    share = _shares(affinity.double() ** beta, h, w, radius)[:, None]
    parts = []
    for maps in scores.split(max(1, _PRODUCT // (8 * share.numel())), dim=1):
        padded = functional.pad(maps.double(), (radius - 1,) * 4)
        windows = padded.unfold(-2, side, 1).unfold(-2, side, 1)  # (B, k, h, w, side, side), a view
        middle = windows[..., radius - 1, radius - 1]
        for _ in range(steps):
            middle.copy_((windows * share).sum((-2, -1)))
        parts.append(middle)
    return torch.cat(parts, dim=1)


def _shares(weights: Tensor, h: int, w: int, radius: int) -> Tensor:
    """Weights (B, P, n) -> each pixel's shares of its neighbours and itself: (B, h, w, side, side), of sum 1."""
    border, side = radius - 1, 2 * radius - 1
    shares = weights.new_zeros(len(weights), side, side, h, w)
    shares[:, border, border] = 1
    of_offset = zip(pair_offsets(radius), pair_views(shares, radius), weights.unbind(1), strict=True)
    for (dy, dx), (start, end), weight in of_offset:
        weight = weight.unflatten(-1, start.shape[-2:])
        start[:, border + dy, border + dx] = weight
        end[:, border - dy, border - dx] = weight
    shares /= shares.sum((1, 2), keepdim=True)
    return shares.permute(0, 3, 4, 1, 2).contiguous()


def _check(scores: Tensor, affinity: Tensor, radius: int, beta: float, steps: int) -> int:
    """The radius on this grid, where all is as it must be."""
    if scores.ndim not in (3, 4):
        raise ValueError(f"scores: shape {tuple(scores.shape)} is not (K, h, w) or (B, K, h, w)")
    h, w = scores.shape[-2:]
    radius = grid_radius(h, w, radius)
    pairs = (len(pair_offsets(radius)), (h - (radius - 1)) * (w - 2 * (radius - 1)))
    if min(h, w) == 0 or affinity.shape != (*scores.shape[:-3], *pairs):
        have, expected = tuple(affinity.shape), (*scores.shape[:-3], *pairs)
        raise ValueError(
            f"affinity: shape {have} does not fit scores {tuple(scores.shape)}, which need {expected} at "
            f"radius {radius}"
        )
    if not isinstance(steps, Integral) or steps < 0:
        raise ValueError(f"steps: {steps!r} is not a whole number of at least 0")
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta: {beta!r} is not a finite number of at least 0")
    for name, values in (("scores", scores), ("affinity", affinity)):
        if not values.is_floating_point():
            raise ValueError(f"{name}: {values.dtype} is not a floating-point type")
    _refuse("scores", scores, ~scores.isfinite(), "finite")
    _refuse("affinity", affinity, ~((affinity >= 0) & (affinity <= 1)), "in [0, 1]")
    return radius


def _refuse(name: str, values: Tensor, wrong: Tensor, wanted: str) -> None:
    if wrong.any():
        first = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(f"{name}: {values[first].item():g} at index {first} is not {wanted}")
