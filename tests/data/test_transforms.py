"""Augmentation: image and label stay together, sizes and places as asked, equal generators equal samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from sbnet.data.synthetic.scenes import scene
from sbnet.data.training.transforms import Sample, TrainTransform

PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
PLAIN: dict[str, Any] = {"mirror": 0.0, "jitter": None}


def drawn(
    transform: TrainTransform, photo: np.ndarray, label: np.ndarray | None = None, *, rng: Any = 0
) -> Sample:
    """A sample by a new plan. rng: a generator, or its seed."""
    return transform(photo, label, plan=transform.plan(photo.shape[:2], np.random.default_rng(rng)))


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
    augmentation=st.sampled_from(["fast", "exact"]),
)
def test_shapes_types_and_canvas(
    height: int, width: int, crop: int, longest: int, seed: int, augmentation: Any
) -> None:
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    label = rng.integers(0, 21, (height, width), dtype=np.uint8)
    transform = TrainTransform(crop=crop, long_side=(longest, longest), augmentation=augmentation)
    sample = drawn(transform, photo, label, rng=seed)
    assert sample.label is not None
    assert type(sample.label) is Tensor
    assert (sample.label.shape, sample.label.dtype) == ((crop, crop), torch.uint8)
    assert (sample.photo.shape, sample.photo.dtype) == ((crop, crop, 3), np.uint8)
    assert max(sample.box.height, sample.box.width) == min(longest, crop)
    inside = _inside(sample)
    assert inside.sum() == sample.box.height * sample.box.width
    np.testing.assert_array_equal(sample.label.numpy() != 255, inside)
    assert not sample.photo[~inside].any()
    again = drawn(transform, photo, label, rng=seed)
    np.testing.assert_array_equal(sample.photo, again.photo)
    assert torch.equal(sample.label, again.label)


@pytest.mark.parametrize("size", [(20, 15), (57, 43), (80, 60)])
def test_resizes_as_pillow_does(size: tuple[int, int]) -> None:
    sample = drawn(TrainTransform(crop=80, long_side=(size[0], size[0]), **PLAIN), PHOTO)
    expected = np.asarray(Image.fromarray(PHOTO).resize(size, Image.Resampling.BICUBIC))
    found = sample.photo[_inside(sample)].reshape(expected.shape)
    np.testing.assert_allclose(found.astype(int), expected, atol=2)
    assert sample.label is None


@pytest.mark.parametrize("seed", range(6))
def test_label_follows_photo(seed: int) -> None:
    label = np.kron(np.random.default_rng(seed).integers(0, 2, (4, 5)), np.ones((12, 12))).astype(np.uint8)
    photo = np.repeat(label[..., None] * 255, 3, 2)
    transform = TrainTransform(crop=64, long_side=(40, 110), jitter=None)
    sample = drawn(transform, photo, label, rng=seed)
    assert sample.label is not None
    inside = _inside(sample)
    agree = (sample.photo[..., 0] > 127) == (sample.label.numpy() == 1)
    assert agree[inside].mean() > 0.985  # half a pixel off costs twice that


def test_mirror() -> None:
    samples = [
        drawn(TrainTransform(crop=30, long_side=(40, 40), mirror=mirror, jitter=None), PHOTO, rng=1)
        for mirror in (0.0, 1.0)
    ]
    np.testing.assert_array_equal(samples[0].photo[:, ::-1], samples[1].photo)


def test_sizes_and_places_cover_their_ranges() -> None:
    rng = np.random.default_rng(0)
    long_sides = TrainTransform(crop=64, long_side=(38, 42), **PLAIN)
    boxes = [drawn(long_sides, PHOTO, rng=rng).box for _ in range(150)]
    assert {box.width for box in boxes} == set(range(38, 43))
    assert min(box.left for box in boxes) == 0
    assert max(box.left + box.width for box in boxes) == 64
    assert all(abs(box.height - box.width * 0.75) <= 0.5 for box in boxes)
    scales = TrainTransform(crop=64, scale=(0.5, 1.5), **PLAIN)
    widths = [drawn(scales, PHOTO, rng=rng).box.width for _ in range(150)]
    assert min(widths) in (20, 21)
    assert max(widths) in (59, 60)
    columns = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None] * 5, PHOTO.shape).copy()
    cuts = TrainTransform(crop=36, long_side=(40, 40), **PLAIN)
    firsts = {int(drawn(cuts, columns, rng=rng).photo[10:20, 0, 0].max()) // 5 for _ in range(60)}
    assert firsts == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("augmentation", ["fast", "exact"])
def test_jitter_reach(augmentation: Any) -> None:
    grey = np.full((16, 16, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    bright = TrainTransform(
        crop=16, long_side=(16, 16), jitter=(0.3, 0.0, 0.0, 0.0), augmentation=augmentation
    )
    values = np.array([drawn(bright, grey, rng=rng).photo[0, 0, 0] for _ in range(60)])
    assert values.min() in range(69, 76)
    assert values.max() in range(124, 132)
    same = TrainTransform(
        crop=40, long_side=(40, 40), mirror=0.0, jitter=(0.0, 0.0, 0.0, 0.0), augmentation=augmentation
    )
    still = drawn(same, PHOTO)
    error = still.photo[_inside(still)].reshape(PHOTO.shape).astype(int) - PHOTO
    assert np.abs(error).mean() < (
        2 if augmentation == "exact" else 1e-9
    )  # Pillow's way to HSV and back rounds


@pytest.mark.parametrize("mirror", [0.0, 1.0])
@pytest.mark.parametrize("size", [(20, 15), (56, 42), (80, 60)])
def test_label_is_the_nearest_pixel(size: tuple[int, int], mirror: float) -> None:
    label = np.random.default_rng(1).integers(0, 21, (30, 40), dtype=np.uint8)
    transform = TrainTransform(crop=80, long_side=(size[0], size[0]), mirror=mirror, jitter=None)
    sample = drawn(transform, PHOTO, label)
    assert sample.label is not None
    # Pillow's nearest is by centres too; none lies between two pixels at these sizes.
    expected = np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST))
    found = sample.label.numpy()[_inside(sample)].reshape(expected.shape)
    np.testing.assert_array_equal(found, expected[:, ::-1] if mirror else expected)


def test_fast_and_exact_differ_in_colours_alone() -> None:
    """The same draws, so the same place, size and label; on average the same colours."""
    photos = [scene(index, 7, size=(96, 128)) for index in range(12)]
    exact, fast = (
        TrainTransform(crop=96, long_side=(96, 160), augmentation=name) for name in ("exact", "fast")
    )
    statistics = []
    for seed in range(96):
        photo, label = photos[seed % len(photos)][:2]
        one, other = (drawn(each, photo, label, rng=seed) for each in (exact, fast))
        assert one.box == other.box
        assert one.label is not None
        assert other.label is not None
        assert torch.equal(one.label, other.label)
        statistics.append([_statistics(sample.photo[_inside(sample)]) for sample in (one, other)])
    by_mode = np.array(statistics)  # (samples, modes, statistics)
    difference = np.abs(by_mode[:, 0] - by_mode[:, 1])
    np.testing.assert_allclose(by_mode[:, 0].mean(0), by_mode[:, 1].mean(0), atol=2.5)
    np.testing.assert_allclose(by_mode[:, 0].std(0), by_mode[:, 1].std(0), atol=3)
    assert difference.mean() < 5


def _statistics(pixels: np.ndarray) -> np.ndarray:
    """Of pixels (N, 3): mean and spread of each channel, mean distance of the strongest from the weakest channel."""
    values = pixels.astype(float)
    return np.concatenate([values.mean(0), values.std(0), [np.ptp(values, axis=1).mean()]])


def test_a_label_or_photo_of_another_size_is_the_same_view() -> None:
    """An image decoded smaller goes the way of the whole one."""
    transform = TrainTransform(crop=32, long_side=(32, 32), mirror=1.0, jitter=None)
    plan = transform.plan((120, 160), np.random.default_rng(0))
    smooth = np.linspace(0, 255, 160)[None, :, None] * np.ones((120, 1, 3))
    whole = transform(smooth.astype(np.uint8), plan=plan)
    half = transform(smooth.reshape(60, 2, 80, 2, 3).mean((1, 3)).astype(np.uint8), plan=plan)
    assert whole.box == half.box
    np.testing.assert_allclose(whole.photo.astype(int), half.photo, atol=2)
    assert transform.needed(plan) == plan.size == (24, 32)
    assert TrainTransform(crop=32, long_side=(32, 32), augmentation="exact").needed(plan) is None


def test_exactly_one_rule_of_size() -> None:
    with pytest.raises(ValueError, match="either long_side or scale"):
        TrainTransform(crop=8)
    with pytest.raises(ValueError, match="either long_side or scale"):
        TrainTransform(crop=8, long_side=(8, 8), scale=(1, 1))
