"""The mean field of the dense CRF in plain numpy, slow and short: what `DenseCRF` is held to.

N points (pixels), D features, K labels. A filter maps values (N, K) to sums over all points (N, K), weighted by a
Gaussian of the distance of their features and normalised symmetrically: exactly, or on the permutohedral lattice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sbnet.ops.permutohedral import PermutohedralLattice

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
    log_unary = np.log(np.clip(probabilities.reshape(len(probabilities), -1).T.astype(float), 1e-5, 1))
    marginals = _softmax(log_unary)
    for _ in range(iterations):
        log_marginals = log_unary.copy()
        for weight, apply in zip((gaussian[1], bilateral[2]), filters, strict=True):
            log_marginals += weight * apply(marginals)
        marginals = _softmax(log_marginals)
    return marginals.T.reshape(probabilities.shape)


def exact_filter(features: np.ndarray) -> Filter:
    """The Gaussian sum itself, by the N x N matrix."""
    distances = ((features[:, None].astype(float) - features[None]) ** 2).sum(-1)
    kernel = np.exp(-distances / 2)
    norm = 1 / np.sqrt(kernel.sum(1, keepdims=True))
    return lambda values: norm * (kernel @ (norm * values))


def permutohedral_filter(features: np.ndarray) -> Filter:
    """Its approximation, on the readable lattice (in single precision)."""
    lattice = PermutohedralLattice(torch.from_numpy(features)[None], bounds=features.max(0).tolist())
    return lambda values: lattice.filter(torch.from_numpy(values).float()).numpy()


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)
