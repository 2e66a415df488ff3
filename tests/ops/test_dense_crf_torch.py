"""The CRF's two paths beside each other: equal within 1e-4, and in 99.9 % of the labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import ways
from sbnet.data.synthetic.scenes import scene
from sbnet.ops import DenseCRF
from ways import crf

DEEPLAB = {"gaussian": (1, 3), "bilateral": (67, 3, 4)}
OTHER = [way for way in ways.WAYS if way != "compiled"]


def smooth_probabilities(labels: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """As a CAM gives them: blurred noise."""
    noise = np.random.default_rng(seed).standard_normal((labels, *size))
    logits = 40 * ndimage.gaussian_filter(noise, (0, 12, 12))
    exponentials = np.exp(logits - logits.max(0))
    return (exponentials / exponentials.sum(0)).astype(np.float32)


def hold_together(
    way: str, images: np.ndarray, probabilities: np.ndarray, *, iterations: int = 10, **options: object
) -> float:
    """The share of pixels with the same label."""
    expected = crf("compiled", images, **options).marginals(probabilities, iterations=iterations)
    found = crf(way, images, **options).marginals(probabilities, iterations=iterations)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert ((found == 0) == (expected == 0)).all()
    # Beyond the distance allowed above no label changes.
    highest = np.take_along_axis(expected, found.argmax(-3)[..., None, :, :], -3)[..., 0, :, :]
    assert (expected.max(-3) - highest).max() <= 2e-4
    return (found.argmax(-3) == expected.argmax(-3)).mean()


@pytest.mark.parametrize("way", OTHER)
@pytest.mark.parametrize("options", [{}, DEEPLAB])
@pytest.mark.parametrize("labels", [3, 21])
def test_scenes(way: str, options: dict, labels: int) -> None:
    size = (150, 200)
    for number in range(2):
        image, _ = scene(number, 3, size=size)[:2]
        assert hold_together(way, image, smooth_probabilities(labels, size, number), **options) >= 0.999


@pytest.mark.parametrize("way", OTHER)
@given(
    seed=st.integers(0, 2**16),
    labels=st.integers(1, 24),
    size=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    options=st.sampled_from([{}, DEEPLAB, {"gaussian": (0.5, 0), "bilateral": (3, 60, 1)}]),
    uniform=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_small_images(
    way: str, seed: int, labels: int, size: tuple[int, int], options: dict, uniform: bool
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (1, 1, 3) if uniform else (*size, 3), np.uint8) * np.ones(
        (*size, 1), np.uint8
    )
    # Where noise alone decides between two labels, each iteration multiplies what rounding left.
    hold_together(way, image, rng.random((2, labels, *size), np.float32) ** 3, iterations=3, **options)


def test_photos_of_one_size_at_once(way: str) -> None:
    """Each as if it were alone: with labels of its own that matter."""
    size = (48, 64)
    images = np.stack([scene(number, 3, size=size)[0] for number in range(3)])
    probabilities = np.full((3, 2, 12, *size), 1e-4, np.float32)
    for photo, labels in enumerate((slice(0, 4), slice(5, 12), slice(0, 12))):
        for number in range(2):
            count = labels.stop - labels.start
            probabilities[photo, number, labels] = smooth_probabilities(count, size, 2 * photo + number)
    found = crf(way, images).marginals(probabilities)
    assert found.shape == probabilities.shape
    one_set = crf(way, images).marginals(probabilities[:, 0])
    for image, sets, together, first in zip(images, probabilities, found, one_set, strict=True):
        alone = DenseCRF(image)
        np.testing.assert_allclose(together, alone.marginals(sets), atol=1e-4)
        np.testing.assert_allclose(first, alone.marginals(sets[0]), atol=1e-4)
    assert (found[0, :, 4:] == 0).all()
    assert (found[1, :, :5] == 0).all()


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 4), (1, 3, 4, 5), (3, 2, 4, 5), (2, 1, 1, 3, 4, 5)])
def test_probabilities_of_another_batch_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"is not \(2, K, 4, 5\) or \(2, A, K, 4, 5\), the size of the image"
    ):
        DenseCRF(np.zeros((2, 4, 5, 3), np.uint8)).marginals(np.ones(shape, np.float32))


def test_what_the_other_devices_refuse() -> None:
    """Their checks run on tensors; here with those of the CPU."""
    from sbnet.ops.dense_crf_input import floats

    device = torch.device("cpu")
    wrong = torch.rand(2, 4, 5)
    wrong[1, 2, 3] = torch.nan
    with pytest.raises(ValueError, match=r"NaN at index \(1, 2, 3\)"):
        floats(wrong, device)
    with pytest.raises(ValueError, match=r"infinity at index \(0, 0, 0\)"):
        floats(np.full((2, 4, 5), np.inf), device)
    read_only = np.ones((2, 4, 5))
    read_only.flags.writeable = False
    assert floats(read_only, device).dtype == torch.float32
