"""DenseCRF: what it refuses, and with which words."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from sbnet.ops.dense_crf import DenseCRF


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5), np.uint8), r"\(4, 5\) is not \(H, W, 3\)"),
        (np.zeros((3, 4, 5), np.uint8), r"\(3, 4, 5\) is not \(H, W, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\)"),
        (np.zeros((4, 5, 3), np.float32), "float32 is not uint8"),
        (torch.zeros(4, 5, 3), "float32 is not uint8"),
    ],
)
def test_bad_image(image: np.ndarray | torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseCRF(image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gaussian": (0, 3)}, "gaussian: sxy is 0"),
        ({"gaussian": (3,)}, r"gaussian: \(3,\) is not \(sxy, weight\)"),
        ({"bilateral": (80, -1, 10)}, "bilateral: srgb is -1"),
        ({"bilateral": (80, 13, float("nan"))}, "bilateral: weight is nan"),
        ({"bilateral": (80, 1e-9, 10)}, "too small"),
    ],
)
def test_bad_settings(options: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseCRF(np.full((4, 5, 3), 200, np.uint8), **options)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (np.ones((4, 5), np.float32), "the size of the image"),
        (np.ones((2, 5, 4), np.float32), r"\(2, 5, 4\) is not \(K, 4, 5\)"),
        (np.ones((0, 4, 5), np.float32), r"\(0, 4, 5\)"),
        (np.ones((1, 1, 2, 4, 5), np.float32), "the size of the image"),
        (np.ones((2, 4, 5), np.uint8), "uint8 is not a floating-point type"),
        (torch.ones(2, 4, 5, dtype=torch.int64), "int64 is not a floating-point type"),
        (np.full((2, 4, 5), np.nan, np.float32), r"NaN at index \(0, 0, 0\)"),
        (torch.full((2, 4, 5), torch.inf), "infinity at index"),
    ],
)
def test_bad_probabilities(probabilities: np.ndarray | torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseCRF(np.zeros((4, 5, 3), np.uint8)).marginals(probabilities)


@pytest.mark.parametrize("iterations", [-1, 1.5, "10"])
def test_bad_iterations(iterations: object) -> None:
    with pytest.raises(ValueError, match="iterations"):
        DenseCRF(np.zeros((4, 5, 3), np.uint8)).marginals(
            np.ones((2, 4, 5), np.float32), iterations=iterations
        )


def test_missing_extension_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sbnet._kernels", None)
    monkeypatch.delattr("sbnet._kernels", raising=False)
    with pytest.raises(ImportError, match=r"pip install \."):
        DenseCRF(np.zeros((4, 5, 3), np.uint8))
