"""Pixel correlation against the formula written out, pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sbnet.ops import pixel_correlation
from sbnet.ops.pixel_correlation import _Propagation, correlate, propagated_cam


def brute_force(cam: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """One image: cam (C, h, w), features (D, h, w)."""
    flat = propagated_cam(cam[None])[0].flatten(1)
    vectors = features.flatten(1)
    pixels = flat.shape[1]
    refined = torch.zeros_like(flat)
    for target in range(pixels):
        weights = torch.zeros(pixels)
        for source in range(pixels):
            a, b = vectors[:, source], vectors[:, target]
            weights[source] = max(0.0, float(a @ b) / ((float(a.norm()) + 1e-5) * (float(b.norm()) + 1e-5)))
        refined[:, target] = flat @ weights / (weights.sum() + 1e-5)
    return refined.view_as(cam)


def test_brute_force() -> None:
    torch.manual_seed(0)
    cam, features = torch.randn(2, 4, 5, 6), torch.randn(2, 7, 5, 6)
    expected = torch.stack([brute_force(*pair) for pair in zip(cam, features, strict=True)])
    torch.testing.assert_close(correlate(cam, features), expected, rtol=1e-5, atol=1e-6)


def dense(cam: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """The whole matrix at once, its gradient left to PyTorch."""
    values, vectors = propagated_cam(cam).flatten(2), features.flatten(2)
    vectors = vectors / (vectors.norm(dim=1, keepdim=True) + 1e-5)
    weights = (vectors.transpose(1, 2) @ vectors).relu()
    return (values @ (weights / (weights.sum(1, keepdim=True) + 1e-5))).view_as(cam)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, largest) for largest in (3, 5, 6, 9, 11))),
    block=st.integers(1, 4000),
    seed=st.integers(0, 999),
)
def test_blocks_change_nothing(shape: tuple[int, ...], block: int, seed: int) -> None:
    """Results and gradients, for any size of the blocks."""
    torch.manual_seed(seed)
    batch, channels, depth, height, width = shape
    cam = torch.randn(batch, channels + 1, height, width)
    features = torch.randn(batch, depth, height, width, requires_grad=True)
    upstream = torch.randn_like(cam)
    whole = dense(cam, features)
    (expected,) = torch.autograd.grad((whole * upstream).sum(), features)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixel_correlation, "BLOCK", block)
        found = correlate(cam, features)
        (gradient,) = torch.autograd.grad((found * upstream).sum(), features)
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max() + 1e-3))


@pytest.mark.parametrize("step", [1, 3, 30])
def test_gradient_of_the_propagation(step: int) -> None:
    """By differences, in float64; far from the kink of the ReLU."""
    torch.manual_seed(0)
    values = torch.rand(2, 3, 10, dtype=torch.float64)
    while True:
        vectors = torch.randn(2, 4, 10, dtype=torch.float64)
        if (vectors.transpose(1, 2) @ vectors).abs().min() > 1e-3:
            break
    leaf = vectors.requires_grad_()
    assert torch.autograd.gradcheck(lambda given: _Propagation.apply(values, given, step), (leaf,))


def test_autocast_does_not_reach_it() -> None:
    """Neither pass: what bf16 gives in is worked on in float32."""
    torch.manual_seed(0)
    cam, upstream = torch.randn(2, 5, 9, 11), torch.randn(2, 5, 9, 11)
    features = torch.randn(2, 6, 9, 11).bfloat16().float()
    found = []
    for half in (False, True):
        leaf = features.to(torch.bfloat16 if half else torch.float32, copy=True).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            refined = correlate(cam, leaf)
            (refined * upstream).sum().backward()
        assert refined.dtype == torch.float32
        assert leaf.grad is not None
        found.append((refined.detach(), leaf.grad.float()))
    torch.testing.assert_close(found[1][0], found[0][0])
    torch.testing.assert_close(found[1][1], found[0][1].bfloat16().float())


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation gives, backward passes included."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return result


def test_memory_grows_with_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_correlation, "BLOCK", 2**12)
    for side in (16, 32, 64):
        pixels = side * side
        cam, features = torch.randn(1, 3, side, side), torch.randn(1, 8, side, side, requires_grad=True)
        with Largest() as seen:
            correlate(cam, features).sum().backward()
        assert seen.elements <= max(2**12, 8 * pixels) < pixels * pixels


def test_gradient_reaches_the_features_alone() -> None:
    cam = torch.randn(1, 3, 4, 4, requires_grad=True)
    features = torch.randn(1, 5, 4, 4, requires_grad=True)
    correlate(cam, features).square().sum().backward()
    assert cam.grad is None
    assert features.grad is not None
    assert features.grad.abs().sum() > 0


def test_propagated_cam() -> None:
    cam = torch.tensor([[[[-9.0, 9.0]], [[4.0, -1.0]], [[1.0, 2.0]]]])  # background, two foreground classes
    found = propagated_cam(cam)
    torch.testing.assert_close(found[0, 1:], torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]), rtol=0, atol=2e-5)
    torch.testing.assert_close(found[0, 0], torch.zeros(1, 2), rtol=0, atol=2e-5)
