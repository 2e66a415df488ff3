"""The edges in SBNet's samples: of both views, of the image or of the normalized canvas."""

from __future__ import annotations

import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sbnet.backbones.normalization import IMAGENET
from sbnet.data.training.dataset import images
from sbnet.data.training.transforms import Sample, TrainTransform
from sbnet.methods.sbnet.settings import SBNetTrainSettings
from sbnet.methods.sbnet.train import edges

canny_reference = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "canny_scipy.py"))["canny"]
KEYS = ("canny", "canny_small")


def sample_of(pixels: np.ndarray, seed: int = 0) -> Sample:
    """A crop of 60 with an empty rim."""
    transform = TrainTransform(crop=60, long_side=(40, 50), jitter=None)
    return transform(pixels, plan=transform.plan(pixels.shape[:2], np.random.default_rng(seed)))


def edges_of(sample: Sample, canny: str) -> dict[str, Tensor]:
    settings = SBNetTrainSettings.model_validate({"crop": 60, "canny": canny})
    return dict(edges(settings, IMAGENET)(sample, np.random.default_rng(0)))


@pytest.mark.parametrize("canny", ["image", "normalized"])
def test_both_views_have_edges(canny: str) -> None:
    found = edges_of(sample_of(np.full((24, 32, 3), 200, np.uint8)), canny)
    shapes = {key: (tuple(value.shape), value.dtype) for key, value in found.items()}
    assert shapes == {"canny": ((1, 60, 60), torch.uint8), "canny_small": ((1, 18, 18), torch.uint8)}
    pickle.dumps(edges(SBNetTrainSettings.model_validate({"canny": canny}), IMAGENET))  # to workers


def test_edges_are_those_of_the_photo_not_of_its_frame() -> None:
    flat = np.full((24, 32, 3), 200, np.uint8)
    split = flat.copy()
    split[:, 16:] = 20
    for seed in range(5):
        assert not any(edges.any() for edges in edges_of(sample_of(flat, seed), "image").values())
        found = edges_of(sample_of(split, seed), "image")
        for key in KEYS:
            columns = found[key].any(dim=(0, 1)).nonzero().flatten()
            assert 1 <= len(columns) <= 3, key


def test_the_reference_takes_the_edges_of_the_normalized_canvas() -> None:
    sample = sample_of(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    one, other = (edges_of(sample, canny) for canny in ("normalized", "image"))
    image = images(torch.from_numpy(sample.photo)[None], torch.tensor(sample.box)[None], IMAGENET)
    small = torch.nn.functional.interpolate(image, (18, 18), mode="bilinear", align_corners=True)
    for key, view in (("canny", image), ("canny_small", small)):
        wrapped = np.array(
            [[[int(value) % 256 for value in line] for line in rows] for rows in view[0].tolist()]
        )
        expected = canny_reference(wrapped.astype(np.uint8).transpose(1, 2, 0))
        np.testing.assert_array_equal(one[key][0], expected)
        assert not torch.equal(one[key], other[key])
