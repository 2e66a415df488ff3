"""Ops that are PyTorch everywhere, on a GPU: what is there stays there, and equals the CPU's.

CRF and random walk run on it within their own tests (tests/ways.py).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sbnet import ops
from sbnet.data.synthetic.scenes import scene
from ways import NO_CUDA

pytestmark = [pytest.mark.gpu, NO_CUDA]


@pytest.fixture
def labels() -> Tensor:
    """Two scenes' masks, with a band of unknown pixels."""
    masks = torch.stack([torch.tensor(scene(number, 3, size=(96, 128))[1]) for number in range(2)])
    masks[:, 40:44] = 255
    return masks


def same(
    function: Callable[[Tensor], Tensor | tuple[Tensor, ...]], given: Tensor, tolerance: float = 0
) -> None:
    here, there = function(given), function(given.cuda())
    if isinstance(here, Tensor):
        here, there = (here,), (there,)  # type: ignore[assignment]
    for expected, found in zip(here, there, strict=True):
        assert found.is_cuda
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(1, 1), (3, 9), (24, 31)])
def test_pair_affinity(size: tuple[int, int], dtype: torch.dtype) -> None:
    same(ops.pair_affinity, torch.randn(2, 16, *size).to(dtype), 1e-5)


def test_pair_affinity_gradient() -> None:
    features = torch.randn(2, 8, 12, 14)

    def gradient(values: Tensor) -> Tensor:
        values = values.detach().requires_grad_()
        ops.pair_affinity(values).square().sum().backward()
        assert values.grad is not None
        return values.grad

    same(gradient, features, 1e-4)


def test_pair_labels(labels: Tensor) -> None:
    same(ops.pair_labels, labels[:, ::4, ::4].contiguous())
    same(ops.pair_labels, labels[0])


@pytest.mark.parametrize("width", [1, 3])
def test_label_boundaries(labels: Tensor, width: int) -> None:
    same(lambda label: ops.label_boundaries(label, classes=21, width=width), labels)


def test_window_boundaries(labels: Tensor) -> None:
    """Shares that lie at a threshold may round to its other side."""
    here = ops.window_boundaries(labels, classes=21)
    there = ops.window_boundaries(labels.cuda(), classes=21)
    assert there.is_cuda
    assert (here != there.cpu()).float().mean() < 1e-3
