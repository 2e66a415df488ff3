"""Fully connected CRF: mean field over a Gaussian and a bilateral kernel (Kraehenbuehl and Koltun, NIPS 2011).

The kernels are sums over all pairs of pixels, filtered on the permutohedral lattice (Adams et al., 2010): in C++ on the
CPU, in PyTorch (`dense_crf_torch.py`) elsewhere. B images of one size, A sets of probabilities, K labels, H x W pixels.
"""

from __future__ import annotations

import functools
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import torch

from sbnet.ops.compiled import kernels
from sbnet.ops.dense_crf_input import check_image, check_settings, check_shape, floats
from sbnet.ops.dense_crf_torch import TorchMeanField

Array = TypeVar("Array", np.ndarray, torch.Tensor)

_BLOCK = 2**12  # pixels
_CACHED_PIXELS = 2**19  # larger Gaussian lattices are not kept: eight of this size take about 100 MB


class DenseCRF:
    """The CRF of one image: its lattices are built once and serve any number of label sets.

    image: (H, W, 3) uint8, RGB, numpy array or tensor on any device; it is copied. Or (B, H, W, 3), several images.
    A tensor that is not on the CPU is worked on where it lies, all images at once: marginals within 1e-4 of the CPU's,
    more where noise alone decides; the argmax equal on 99.9 % of the pixels; the same in every run. Memory: about
    0.5 kB a pixel while the lattices are built, then 0.2 kB, and 45 bytes for each label of each set.
    gaussian: (sxy in pixels, weight) of the smoothness kernel.
    bilateral: (sxy in pixels, srgb in grey levels, weight) of the appearance kernel.
    Raises ValueError for an image of another shape or dtype, and for a deviation that is not positive or too small for
    an image of its size.
    """

    def __init__(
        self,
        image: np.ndarray | torch.Tensor,
        *,
        gaussian: tuple[float, float] = (3, 3),
        bilateral: tuple[float, float, float] = (80, 13, 10),
    ) -> None:
        image = image if isinstance(image, torch.Tensor) else np.asarray(image)
        check_image(image)
        check_settings("gaussian", gaussian, ("sxy", "weight"))
        check_settings("bilateral", bilateral, ("sxy", "srgb", "weight"))
        self._batch = tuple(image.shape[:-3])
        self.size = (int(image.shape[-3]), int(image.shape[-2]))
        self._device: torch.device | None = None
        self._mean_field: _CompiledMeanField | TorchMeanField
        photos = image.reshape(-1, *self.size, 3)
        try:
            if isinstance(photos, torch.Tensor) and not photos.is_cpu:
                self._device = photos.device
                self._mean_field = TorchMeanField(photos, gaussian=gaussian, bilateral=bilateral)
            else:
                self._mean_field = _CompiledMeanField(
                    np.asarray(photos), gaussian=gaussian, bilateral=bilateral
                )
        except ValueError as error:
            size = f"{self.size[1]} x {self.size[0]} pixels"
            raise ValueError(f"gaussian={gaussian}, bilateral={bilateral}, {size}: {error}") from None

    @staticmethod
    def memory_needed(
        pixels: int, *, labels: int, sets: int = 1, vertices: int | None = None, compiled: bool = True
    ) -> int:
        """Bytes that an image takes at most, lattices and results included; compiled, on the CPU, or on another device.

        vertices: of both lattices, known once they are built (`vertices`); by default 2 a pixel. SBNet's kernels have
        0.3 a pixel in an image of 400 x 300, narrow ones (srgb 3) up to 4, and noise 6; large images have fewer.
        """
        if not compiled:
            return pixels * (640 + 45 * sets * labels)
        lanes = -(-sets * labels // 8) * 8
        # Corners and weights; probabilities, their logarithms, marginals.
        of_pixel = 9 * 8 + 3 * 4 * sets * labels
        # Keys, slots, neighbours growing, ones; or values.
        building, filtering = 16 + 16 * 4 + 24 + 2 * 4, 2 * 4 * lanes
        of_vertex = 6 * 2 * 4 + max(building, filtering)  # its neighbours
        return pixels * of_pixel + (2 * pixels if vertices is None else vertices) * of_vertex

    @property
    def vertices(self) -> int:
        """Of the lattices of all images together, on the CPU."""
        assert isinstance(self._mean_field, _CompiledMeanField)
        return self._mean_field.vertices

    def marginals(self, probabilities: Array, *, iterations: int = 10, negligible: float = 0.01) -> Array:
        """Marginals after `iterations` steps of mean field: float32, the input's shape and kind, sum 1 over K.

        probabilities: (K, H, W), or (A, K, H, W) for A independent sets on the one lattice; for B images
        (B, K, H, W) or (B, A, K, H, W). Numpy array or tensor of floats in [0, 1] (clipped to [1e-5, 1]), which
        need not sum to 1. Without iterations the result is the clipped probabilities over their sum.
        negligible: a label whose share of a pixel's clipped probabilities is below it all over an image, in all its
        sets, takes no part, and its marginals are 0: time goes with the labels that matter. 0 keeps all, as the
        formula has it, and the sets independent to the last bit (on the CPU).
        Raises ValueError for another shape or dtype, NaN, infinity and a negative number of iterations.
        """
        check_shape(probabilities, self._batch, self.size)
        if not 0 <= negligible < 1:
            raise ValueError(f"negligible: {negligible!r} is not a share, at least 0 and below 1")
        if not isinstance(iterations, Integral) or iterations < 0:
            raise ValueError(f"iterations: {iterations!r} is not a whole number of at least 0")
        values = floats(probabilities, self._device)
        *_, labels, height, width = values.shape
        photos = self._batch[0] if self._batch else 1
        sets = values.reshape(photos, -1, labels, height * width)
        result = self._mean_field(sets, iterations=int(iterations), negligible=negligible).reshape(
            values.shape
        )
        if isinstance(probabilities, torch.Tensor):
            return torch.as_tensor(result, device=probabilities.device)
        return result if isinstance(result, np.ndarray) else result.cpu().numpy()


class _CompiledMeanField:
    """`TorchMeanField` compiled, on the CPU, image by image."""

    def __init__(
        self,
        images: np.ndarray,
        *,
        gaussian: tuple[float, float],
        bilateral: tuple[float, float, float],
    ) -> None:
        photos = np.ascontiguousarray(images)
        height, width = photos.shape[1:3]
        build = _cached_gaussian if height * width <= _CACHED_PIXELS else _gaussian_lattice
        positions = build(height, width, float(gaussian[0]))
        sxy, srgb, _ = bilateral
        self._lattices = [[positions, kernels().Lattice(photo, float(sxy), float(srgb))] for photo in photos]
        self._weights = [float(gaussian[1]), float(bilateral[2])]

    @property
    def vertices(self) -> int:
        return sum(lattice.vertices for of_photo in self._lattices for lattice in of_photo)

    def __call__(self, sets: np.ndarray, *, iterations: int, negligible: float) -> np.ndarray:
        used = [_used(of_photo, negligible) for of_photo in sets]
        # Zeros that nobody writes to cost no memory until they are read.
        make = np.empty if all(len(labels) == sets.shape[2] for labels in used) else np.zeros
        result = make(sets.shape, np.float32)
        for photo, (lattices, labels) in enumerate(zip(self._lattices, used, strict=True)):
            kernels().mean_field(sets[photo], result[photo], lattices, self._weights, iterations, labels)
        return result


def _gaussian_lattice(height: int, width: int, sxy: float) -> Any:
    """Lattice of the pixel positions alone: the same for all images of a size."""
    return kernels().Lattice(height, width, sxy)


_cached_gaussian = functools.lru_cache(maxsize=8)(_gaussian_lattice)


def _used(sets: np.ndarray, negligible: float) -> list[int]:
    """The labels of (A, K, N) whose share is not negligible."""
    if negligible == 0:
        return list(range(sets.shape[1]))
    shares = largest_shares(torch.from_numpy(sets)).tolist()
    threshold = min(negligible, max(shares))  # of hundreds of labels that are all alike, all stay
    return [label for label, share in enumerate(shares) if share >= threshold]


def largest_shares(sets: torch.Tensor) -> torch.Tensor:
    """Each label's largest share of a pixel's probabilities (A, K, N), clipped to [1e-5, 1], over sets and pixels: (K,).

    In blocks that stay in the processor's cache.
    """
    largest = sets.new_zeros(sets.shape[1])
    for block in sets.split(_BLOCK, dim=2):
        clipped = block.clamp(1e-5, 1)
        shares = clipped.mul_(clipped.sum(1, keepdim=True).reciprocal_())
        torch.maximum(largest, shares.amax((0, 2)), out=largest)
    return largest
