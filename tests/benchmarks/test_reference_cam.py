"""The transcription that the CAM benchmarks compare with computes what we compute."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sbnet.backbones.normalization import IMAGENET
from sbnet.losses import structure_aware
from sbnet.networks.build import build

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def reference() -> Any:
    return SimpleNamespace(**runpy.run_path(str(FOLDER / "reference_cam.py")))


def test_one_training_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the step's benchmark: what the loader gives of a scene."""
    monkeypatch.syspath_prepend(str(FOLDER))
    step = SimpleNamespace(**runpy.run_path(str(FOLDER / "training_step.py")))
    network = SimpleNamespace(normalization=IMAGENET, classes=21)
    item = step.batch(step.photo_and_label(None), network)
    assert {name: tuple(value.shape) for name, value in item.items()} == {
        "image": (1, 3, 448, 448),
        "label": (1, 448, 448),
        "labels": (1, 20),
        "canny": (1, 1, 448, 448),
        "canny_small": (1, 1, 134, 134),
    }
    assert item["labels"].sum() == len(item["label"].unique()) - 1 > 0


@torch.no_grad()
def test_forward(reference: Any) -> None:
    torch.manual_seed(0)
    network = build("sbnet-resnet38", 6, weights="none").eval()
    images, canny = torch.randn(2, 3, 50, 62), 255.0 * torch.randint(0, 2, (2, 1, 50, 62))
    output = network(images, canny)
    cam, refined, fused = reference.forward(network, images, canny)
    torch.testing.assert_close(cam, output.cam)
    torch.testing.assert_close(refined, output.refined_cam, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fused, output.boundary_fused, rtol=1e-4, atol=1e-3)


def test_losses(reference: Any) -> None:
    """Values and gradients."""
    torch.manual_seed(0)
    views = [[torch.randn(2, 6, *size, requires_grad=True) for _ in range(3)] for size in ((20, 30), (7, 9))]
    labels = torch.tensor([[1.0, 0, 0, 1, 0], [0, 0, 1, 0, 0]])
    boundaries = torch.rand(2, 6, 20, 30).round()
    expected = structure_aware(*views, labels, boundaries)
    found = reference.losses(tuple(map(tuple, views)), labels, boundaries)
    for term, value in expected.items():
        torch.testing.assert_close(found[term], value, rtol=1e-4, atol=1e-6)
    leaves = [maps for view in views for maps in view]
    gradients = [torch.autograd.grad(sum(terms.values()), leaves) for terms in (found, expected)]
    for theirs, ours in zip(*gradients, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-6)
