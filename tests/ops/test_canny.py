"""Canny against the golden edge map and on shapes whose edges are known."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet.ops import canny
from sbnet.ops.canny import wrapped_bytes

canny_reference = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "canny_scipy.py"))["canny"]
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


@pytest.mark.parametrize("seed", [0, 1])
def test_reference_edges(golden, seed):
    """The reference's quirk: the normalised image, cast to uint8 with its negative values wrapped."""
    numbers = golden.load("sbnet_forward", seed)
    image = numbers["image"][0].transpose(1, 2, 0)
    normalized = (image.astype(np.float32) / 255 - MEAN) / STD
    np.testing.assert_array_equal(canny(wrapped_bytes(normalized)), numbers["canny"][0, 0])


def test_wrapped_bytes():
    values = np.array([-2.1, -1.0, -0.9, 0.0, 0.9, 1.0, 2.6], np.float32)
    assert wrapped_bytes(values).tolist() == [254, 255, 0, 0, 0, 1, 2]


@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(1, 24),
    columns=st.integers(1, 24),
    channels=st.sampled_from([1, 3]),
    levels=st.sampled_from([2, 12, 60, 256]),  # few levels: many equal neighbours
    low=st.integers(0, 200),
    more=st.integers(0, 900),
    seed=st.integers(0, 2**32),
)
def test_kernel_is_the_reference(rows, columns, channels, levels, low, more, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, levels, (rows, columns, channels), dtype=np.uint8)
    if seed % 2:  # blocks, whose edges run on
        image = np.kron(image, np.ones((3, 3, 1), np.uint8))
    expected = canny_reference(image, low=low, high=low + more)
    np.testing.assert_array_equal(canny(image, low=low, high=low + more), expected)
    if channels == 1:
        np.testing.assert_array_equal(canny(image[..., 0], low=low, high=low + more), expected)


@pytest.mark.parametrize("shape", [(4, 4, 2), (4, 4, 4), (4,)])
def test_other_channels_are_refused(shape):
    with pytest.raises((TypeError, ValueError)):
        canny(np.zeros(shape, np.uint8))


def test_a_step_is_one_line():
    image = np.zeros((12, 16), np.uint8)
    image[:, 8:] = 200
    edges = canny(image)
    assert set(np.unique(edges)) == {0, 255}
    assert ((edges > 0).sum(1) == 1).all()


def test_hysteresis_keeps_weak_edges_that_touch_strong_ones():
    image = np.zeros((40, 40), np.uint8)
    image[:, 10:] = np.linspace(5, 100, 40).astype(np.uint8)[:, None]  # one edge, from weak to strong
    weak = np.zeros_like(image)
    weak[:, 10:] = 5
    assert (canny(image) > 0)[4:36, 9:11].any(1).all()
    assert not canny(weak).any()


def test_grey_equals_three_equal_channels():
    grey = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    np.testing.assert_array_equal(canny(grey), canny(np.repeat(grey[..., None], 3, -1)))


@pytest.mark.parametrize("size", [(1, 1, 3), (1, 7), (2, 2)])
def test_tiny_images(size):
    assert canny(np.zeros(size, np.uint8)).shape == size[:2]


def test_floats_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        canny(np.zeros((4, 4)))
