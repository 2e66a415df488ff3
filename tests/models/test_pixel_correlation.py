"""Pixel correlation against the formula written out, pixel by pixel."""

from __future__ import annotations

import pytest
import torch

from sbnet.models import pixel_correlation
from sbnet.models.pixel_correlation import correlate, propagated_cam


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


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    cam, features = torch.randn(2, 4, 5, 6), torch.randn(2, 7, 5, 6)
    whole = correlate(cam, features)
    monkeypatch.setattr(pixel_correlation, "BLOCK", 200)
    torch.testing.assert_close(correlate(cam, features), whole)


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
