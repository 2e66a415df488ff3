"""The ways in which an op runs, for tests over all of them: compiled, in PyTorch on the CPU, in PyTorch on a GPU.

On the CPU the ops choose the compiled kernel; "torch" makes them take what they take on other devices.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sbnet.ops.dense_crf import DenseCRF
from sbnet.ops.dense_crf_torch import TorchMeanField
from sbnet.ops.random_walk import random_walk, random_walk_torch

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
WAYS = ("compiled", "torch", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA]))


def crf(way: str, image: np.ndarray, **options: Any) -> DenseCRF:
    """A DenseCRF that computes in that way, whatever the probabilities are."""
    if way == "cuda":
        return DenseCRF(torch.tensor(image, device="cuda"), **options)
    return (TorchCRF if way == "torch" else DenseCRF)(image, **options)


class TorchCRF(DenseCRF):
    """In PyTorch, on the CPU."""

    vertices = 0  # of compiled lattices, and there are none

    def __init__(self, image: np.ndarray, **options: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys.modules["sbnet.ops.dense_crf"], "_CompiledMeanField", _TorchOnTheCPU)
            super().__init__(image, **options)


class _TorchOnTheCPU(TorchMeanField):
    def __init__(self, images: np.ndarray, **options: Any) -> None:
        super().__init__(torch.tensor(images), **options)

    def __call__(self, sets: Any, **options: Any) -> Tensor:
        return super().__call__(torch.tensor(sets), **options)


def walk(way: str, scores: Tensor, affinity: Tensor, **options: Any) -> Tensor:
    """`random_walk` in that way; the result is on the CPU."""
    if way == "cuda":
        walked = random_walk(scores.cuda(), affinity.cuda(), **options)
        assert walked.is_cuda
        return walked.cpu()
    with pytest.MonkeyPatch.context() as patch:
        if way == "torch":
            patch.setattr(sys.modules["sbnet.ops.random_walk"], "_walk_compiled", random_walk_torch)
        return random_walk(scores, affinity, **options)
