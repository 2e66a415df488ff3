"""Fully connected CRF: mean field over a Gaussian and a bilateral kernel (Kraehenbuehl and Koltun, NIPS 2011).

The kernels are sums over all pairs of pixels, filtered on the permutohedral lattice (Adams et al., 2010) in C++.
A sets of probabilities, K labels, H x W pixels.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any, TypeVar

import numpy as np
import torch

from .compiled import kernels

Array = TypeVar("Array", np.ndarray, torch.Tensor)

_CACHED_PIXELS = 2**19  # larger Gaussian lattices are not kept: eight of this size take about 100 MB


class DenseCRF:
    """The CRF of one photo: its lattices are built once and serve any number of label sets.

    image: (H, W, 3) uint8, RGB, numpy array or tensor on any device; it is copied.
    gaussian: (sxy in pixels, weight) of the smoothness kernel.
    bilateral: (sxy in pixels, srgb in grey levels, weight) of the appearance kernel.
    Raises ValueError for an image of another shape or dtype and for a deviation that is not positive.
    """

    def __init__(
        self,
        image: np.ndarray | torch.Tensor,
        *,
        gaussian: tuple[float, float] = (3, 3),
        bilateral: tuple[float, float, float] = (80, 13, 10),
    ) -> None:
        pixels = _photo(image)
        _check_settings("gaussian", gaussian, ("sxy", "weight"))
        _check_settings("bilateral", bilateral, ("sxy", "srgb", "weight"))
        height, width = pixels.shape[:2]
        self.size = (height, width)
        build = _cached_gaussian if height * width <= _CACHED_PIXELS else _gaussian_lattice
        sxy, srgb, _ = bilateral
        self._lattices = [
            build(height, width, float(gaussian[0])),
            kernels().Lattice(np.ascontiguousarray(pixels), float(sxy), float(srgb)),
        ]
        self._weights = [float(gaussian[1]), float(bilateral[2])]

    def marginals(self, probabilities: Array, *, iterations: int = 10, negligible: float = 0.01) -> Array:
        """Marginals after `iterations` steps of mean field: float32, the input's shape and kind, sum 1 over K.

        probabilities: (K, H, W), or (A, K, H, W) for A independent sets on the one lattice; numpy array or
        tensor of floats in [0, 1] (clipped to [1e-5, 1]), which need not sum to 1. Without iterations the
        result is the clipped probabilities over their sum.
        negligible: a label whose share of a pixel's clipped probabilities is below it everywhere, in all sets, takes no
        part, and its marginals are 0: time goes with the labels that matter. 0 keeps all, as the formula has it, and
        the sets independent to the last bit.
        Raises ValueError for another shape or dtype, NaN, infinity and a negative number of iterations.
        """
        values = _probabilities(probabilities, self.size)
        if not 0 <= negligible < 1:
            raise ValueError(f"negligible: {negligible!r} is not a share, at least 0 and below 1")
        if not isinstance(iterations, int | np.integer) or iterations < 0:
            raise ValueError(f"iterations: {iterations!r} is not a whole number of at least 0")
        sets = values.reshape(-1, values.shape[-3], values.shape[-2] * values.shape[-1])
        used = _used(sets, negligible)
        # Zeros that nobody writes to cost no memory until they are read.
        result = (np.empty if len(used) == sets.shape[1] else np.zeros)(values.shape, np.float32)
        marginals = result.reshape(sets.shape)
        kernels().mean_field(sets, marginals, self._lattices, self._weights, int(iterations), used)
        if isinstance(probabilities, torch.Tensor):
            return torch.from_numpy(result).to(probabilities.device)
        return result


def _gaussian_lattice(height: int, width: int, sxy: float) -> Any:
    """Lattice of the pixel positions alone: the same for all photos of a size."""
    return kernels().Lattice(height, width, sxy)


_cached_gaussian = functools.lru_cache(maxsize=8)(_gaussian_lattice)


def _used(sets: np.ndarray, negligible: float) -> list[int]:
    """The labels of (A, K, N) whose share is not negligible."""
    if negligible == 0:
        return list(range(sets.shape[1]))
    shares = kernels().largest_shares(sets)
    threshold = min(negligible, max(shares))  # of hundreds of labels that are all alike, all stay
    return [label for label, share in enumerate(shares) if share >= threshold]


def _photo(image: np.ndarray | torch.Tensor) -> np.ndarray:
    pixels = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(f"image: shape {tuple(pixels.shape)} is not (H, W, 3)")
    if pixels.dtype != np.uint8:
        raise ValueError(f"image: {pixels.dtype} is not uint8 (0 to 255, not normalised)")
    return pixels


def _check_settings(kernel: str, values: tuple[float, ...], names: tuple[str, ...]) -> None:
    if len(values) != len(names):
        raise ValueError(f"{kernel}: {values!r} is not ({', '.join(names)})")
    # In single precision, as the kernel has them: there the smallest numbers are 0.
    for name, value in zip(names, (ctypes.c_float(value).value for value in values), strict=True):
        if not math.isfinite(value) or value < 0 or (value == 0 and name != "weight"):
            wanted = "at least 0" if name == "weight" else "above 0"
            raise ValueError(f"{kernel}: {name} is {value!r}; it must be a finite number {wanted}")


def _probabilities(probabilities: np.ndarray | torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """Contiguous float32 on the CPU, checked."""
    shape = tuple(probabilities.shape)
    if len(shape) not in (3, 4) or 0 in shape or shape[-2:] != size:
        height, width = size
        raise ValueError(
            f"probabilities: shape {shape} is not (K, {height}, {width}) or (A, K, {height}, {width}), "
            f"the size of the image"
        )
    if isinstance(probabilities, torch.Tensor):
        floating = probabilities.is_floating_point()
        values = probabilities.detach().to("cpu", torch.float32).numpy() if floating else None
    else:
        floating = np.issubdtype(probabilities.dtype, np.floating)
        values = probabilities.astype(np.float32, copy=False) if floating else None
    if values is None:
        raise ValueError(f"probabilities: {probabilities.dtype} is not a floating-point type")
    if not np.isfinite(values).all():
        kind = "NaN" if np.isnan(values).any() else "infinity"
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise ValueError(f"probabilities: {kind} at index {first}")
    return np.ascontiguousarray(values)
