"""The dense CRF in plain numpy, slow and short: what the compiled kernel is held to.

N points (pixels), D features, K labels. A filter maps values (N, K) to sums over all points (N, K), weighted by a
Gaussian of the distance of their features: exactly, or on the permutohedral lattice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Filter = Callable[[np.ndarray], np.ndarray]


def mean_field(
    image: np.ndarray,
    probabilities: np.ndarray,
    *,
    gaussian: tuple[float, float] = (3, 3),
    bilateral: tuple[float, float, float] = (80, 13, 10),
    iterations: int = 10,
    method: Callable[[np.ndarray], Filter],
) -> np.ndarray:
    """Marginals (K, H, W) float64 of probabilities (K, H, W) on a photo (H, W, 3) uint8.

    method: `exact_filter` or `permutohedral_filter`. Kraehenbuehl and Koltun, NIPS 2011, algorithm 1, with Potts
    labels and kernels normalised symmetrically.
    """
    rows, columns = np.indices(image.shape[:2], np.float32)
    position = np.stack([columns, rows], -1).reshape(-1, 2)
    colour = image.reshape(-1, 3).astype(np.float32)
    features = [
        position / np.float32(gaussian[0]),
        np.hstack([position / np.float32(bilateral[0]), colour / np.float32(bilateral[1])]),
    ]
    filters = [method(feature) for feature in features]
    norms = [1 / np.sqrt(apply(np.ones((len(position), 1))) + 1e-20) for apply in filters]
    log_unary = np.log(np.clip(probabilities.reshape(len(probabilities), -1).T.astype(float), 1e-5, 1))
    marginals = _softmax(log_unary)
    for _ in range(iterations):
        log_marginals = log_unary.copy()
        for weight, apply, norm in zip((gaussian[1], bilateral[2]), filters, norms, strict=True):
            log_marginals += weight * norm * apply(norm * marginals)
        marginals = _softmax(log_marginals)
    return marginals.T.reshape(probabilities.shape)


def exact_filter(features: np.ndarray) -> Filter:
    """The Gaussian sum itself, by the N x N matrix."""
    distances = ((features[:, None].astype(float) - features[None]) ** 2).sum(-1)
    kernel = np.exp(-distances / 2)
    return lambda values: kernel @ values


def permutohedral_filter(features: np.ndarray) -> Filter:
    """Its approximation: splat to the vertices of the simplex around each point, blur, slice back.

    Adams, Baek and Davis, Fast high-dimensional filtering using the permutohedral lattice, Eurographics 2010.
    Only vertices that some point touches exist. The geometry is in float32, so that ties fall as in the kernel.
    """
    dimensions = features.shape[1]
    keys, weights = _simplices(_elevate(features))
    vertices, corners = np.unique(keys.reshape(-1, dimensions + 1), axis=0, return_inverse=True)
    corners = corners.reshape(-1, dimensions + 1)
    number = {tuple(vertex): index for index, vertex in enumerate(vertices)}
    axes = (dimensions + 1) * np.eye(dimensions + 1, dtype=int) - 1
    neighbours = [
        [[number.get(tuple(vertex + sign * axis), -1) for vertex in vertices] for sign in (1, -1)]
        for axis in axes
    ]

    def apply(values: np.ndarray) -> np.ndarray:
        lattice = np.zeros((len(vertices) + 1, values.shape[1]))  # the last row: a vertex that is not there
        np.add.at(lattice, corners, weights[..., None] * values[:, None])
        for ahead, behind in neighbours:
            lattice[:-1] = lattice[:-1] + (lattice[ahead] + lattice[behind]) / 2
        return (weights[..., None] * lattice[corners]).sum(1) / (1 + 0.5**dimensions)

    return apply


def _elevate(features: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, D + 1) coordinates in the plane of sum 0, scaled so that the blur has deviation 1."""
    dimensions = features.shape[1]
    ordinal = np.arange(1, dimensions + 1)
    scale = np.float32(np.sqrt(2 / 3) * (dimensions + 1)) / np.sqrt(ordinal * (ordinal + 1))
    scaled = features * scale.astype(np.float32)
    elevated = np.zeros((len(features), dimensions + 1), np.float32)
    total = np.zeros(len(features), np.float32)
    for i in range(dimensions, 0, -1):
        elevated[:, i] = total - np.float32(i) * scaled[:, i - 1]
        total = total + scaled[:, i - 1]
    elevated[:, 0] = total
    return elevated


def _simplices(elevated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D + 1) -> the D + 1 vertices around each point (N, D + 1, D + 1) int, their weights (N, D + 1)."""
    count = elevated.shape[1]
    inverse = np.float32(1 / count)
    multiple = np.rint(elevated * inverse).astype(int)
    offset = elevated - (multiple * count).astype(np.float32)
    rank = np.argsort(np.argsort(-offset, axis=1, kind="stable"), axis=1)
    rank += multiple.sum(1, keepdims=True)  # not 0: the coordinates rounded furthest step back into the plane
    step = (rank < 0).astype(int) - (rank >= count)
    rank, multiple = rank + count * step, multiple + step
    share = (elevated - (multiple * count).astype(np.float32)) * inverse
    ordered = np.take_along_axis(share, np.argsort(-rank, axis=1), 1)  # by falling rank
    weights = ordered - np.roll(ordered, 1, axis=1)
    weights[:, 0] += 1
    remainder = np.arange(count)[None, :, None]
    keys = count * multiple[:, None] + remainder - count * (rank[:, None] >= count - remainder)
    return keys, weights


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)
