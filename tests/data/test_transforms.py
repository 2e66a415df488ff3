"""Augmentation: photo and label stay together, sizes and places as asked, equal generators equal samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from sbnet.data.transforms import Sample, TrainTransform

PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
PLAIN: dict[str, Any] = {"mirror": 0.0, "jitter": None}


def normalization(photo: Tensor) -> Tensor:
    return photo.float() / 255 + 1  # never 0, so that 0 is the canvas


def _transform(**options: Any) -> TrainTransform:
    return TrainTransform(normalization=normalization, **options)


def _inside(sample: Sample) -> np.ndarray:
    top, left, height, width = sample.box
    inside = np.zeros(sample.photo.shape[:2], bool)
    inside[top : top + height, left : left + width] = True
    return inside


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 50),
    width=st.integers(1, 50),
    crop=st.integers(1, 48),
    longest=st.integers(8, 64),
    seed=st.integers(0, 2**63),
)
def test_shapes_types_and_canvas(height: int, width: int, crop: int, longest: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    label = rng.integers(0, 21, (height, width), dtype=np.uint8)
    transform = _transform(crop=crop, long_side=(longest, longest))
    sample = transform(photo, label, generator=np.random.default_rng(seed))
    assert sample.label is not None
    assert (type(sample.image), type(sample.label)) == (Tensor, Tensor)
    assert (sample.image.shape, sample.image.dtype) == ((3, crop, crop), torch.float32)
    assert (sample.label.shape, sample.label.dtype) == ((crop, crop), torch.uint8)
    assert (sample.photo.shape, sample.photo.dtype) == ((crop, crop, 3), np.uint8)
    assert max(sample.box.height, sample.box.width) == min(longest, crop)
    inside = _inside(sample)
    assert inside.sum() == sample.box.height * sample.box.width
    np.testing.assert_array_equal((sample.image != 0).numpy(), np.broadcast_to(inside, (3, crop, crop)))
    np.testing.assert_array_equal(sample.label.numpy() != 255, inside)
    assert not sample.photo[~inside].any()
    expected = normalization(torch.from_numpy(sample.photo).permute(2, 0, 1))
    torch.testing.assert_close(
        sample.image[:, torch.from_numpy(inside)], expected[:, torch.from_numpy(inside)]
    )

    again = transform(photo, label, generator=np.random.default_rng(seed))
    assert torch.equal(sample.image, again.image)
    assert torch.equal(sample.label, again.label)


@pytest.mark.parametrize("size", [(20, 15), (57, 43), (80, 60)])
def test_resizes_as_pillow_does(size: tuple[int, int]) -> None:
    sample = _transform(crop=80, long_side=(size[0], size[0]), **PLAIN)(PHOTO)
    expected = np.asarray(Image.fromarray(PHOTO).resize(size, Image.Resampling.BICUBIC))
    found = sample.photo[_inside(sample)].reshape(expected.shape)
    np.testing.assert_allclose(found.astype(int), expected, atol=2)
    assert sample.label is None


@pytest.mark.parametrize("seed", range(6))
def test_label_follows_photo(seed: int) -> None:
    label = np.kron(np.random.default_rng(seed).integers(0, 2, (4, 5)), np.ones((12, 12))).astype(np.uint8)
    photo = np.repeat(label[..., None] * 255, 3, 2)
    transform = _transform(crop=64, long_side=(40, 110), jitter=None)
    sample = transform(photo, label, generator=np.random.default_rng(seed))
    assert sample.label is not None
    inside = _inside(sample)
    agree = (sample.photo[..., 0] > 127) == (sample.label.numpy() == 1)
    assert agree[inside].mean() > 0.985  # half a pixel off costs twice that


def test_mirror() -> None:
    samples = [
        _transform(crop=30, long_side=(40, 40), mirror=mirror, jitter=None)(
            PHOTO, generator=np.random.default_rng(1)
        )
        for mirror in (0.0, 1.0)
    ]
    np.testing.assert_array_equal(samples[0].photo[:, ::-1], samples[1].photo)


def test_sizes_and_places_cover_their_ranges() -> None:
    rng = np.random.default_rng(0)
    long_sides = _transform(crop=64, long_side=(38, 42), **PLAIN)
    boxes = [long_sides(PHOTO, generator=rng).box for _ in range(150)]
    assert {box.width for box in boxes} == set(range(38, 43))
    assert min(box.left for box in boxes) == 0
    assert max(box.left + box.width for box in boxes) == 64
    assert all(abs(box.height - box.width * 0.75) <= 0.5 for box in boxes)
    scales = _transform(crop=64, scale=(0.5, 1.5), **PLAIN)
    widths = [scales(PHOTO, generator=rng).box.width for _ in range(150)]
    assert min(widths) in (20, 21)
    assert max(widths) in (59, 60)
    columns = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None] * 5, PHOTO.shape).copy()
    cuts = _transform(crop=36, long_side=(40, 40), **PLAIN)
    firsts = {int(cuts(columns, generator=rng).photo[10:20, 0, 0].max()) // 5 for _ in range(60)}
    assert firsts == {0, 1, 2, 3, 4}


def test_jitter_reach() -> None:
    grey = np.full((16, 16, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    bright = _transform(crop=16, long_side=(16, 16), jitter=(0.3, 0.0, 0.0, 0.0))
    values = np.array([bright(grey, generator=rng).photo[0, 0, 0] for _ in range(60)])
    assert values.min() in range(69, 76)
    assert values.max() in range(124, 132)
    none = _transform(crop=40, long_side=(40, 40), mirror=0.0, jitter=(0.0, 0.0, 0.0, 0.0))(PHOTO)
    error = none.photo[_inside(none)].reshape(PHOTO.shape).astype(int) - PHOTO
    assert np.abs(error).mean() < 2  # Pillow's way to HSV and back rounds


def test_exactly_one_rule_of_size() -> None:
    with pytest.raises(ValueError, match="either long_side or scale"):
        _transform(crop=8)
    with pytest.raises(ValueError, match="either long_side or scale"):
        _transform(crop=8, long_side=(8, 8), scale=(1, 1))
