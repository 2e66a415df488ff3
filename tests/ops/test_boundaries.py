"""Boundary maps against their definitions, pixel by pixel on tiny labels."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet.ops import label_boundaries, window_boundaries


def random_labels(seed, size=(2, 6, 6)):
    values = np.array([0, 1, 2, 255], np.uint8)
    return torch.from_numpy(np.random.default_rng(seed).choice(values, size, p=[0.5, 0.25, 0.15, 0.1]))


def brute_force(label, classes, width):
    """Distance is counted in rows and columns from the two pixels that touch, which count 1."""
    h, w = label.shape
    result = np.zeros((classes, h, w))
    for c, y, x in itertools.product(range(classes), range(h), range(w)):
        for (dy, dx), sign in itertools.product(((0, 1), (1, 0)), (1, -1)):
            ny, nx = y + sign * dy, x + sign * dx
            if not (0 <= ny < h and 0 <= nx < w):
                continue
            pair = (label[y, x], label[ny, nx])
            if c in pair and pair[0] != pair[1] and max(pair) < classes:
                reach = np.s_[max(y - width + 1, 0) : y + width, max(x - width + 1, 0) : x + width]
                result[c][reach] = 1
    return result * (label < classes)


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_label_boundaries_are_the_definition(width, seed):
    label = random_labels(seed)
    found = label_boundaries(label, classes=4, width=width)
    assert found.dtype == torch.float32
    for image, maps in zip(label.numpy(), found.numpy(), strict=True):
        np.testing.assert_array_equal(maps, brute_force(image, 4, width))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    images=st.integers(1, 3),
    h=st.integers(1, 9),
    w=st.integers(1, 9),
    width=st.integers(1, 12),
)
def test_label_boundaries_of_any_size(seed, images, h, w, width):
    """Images of one batch with different classes, some without any; reach beyond the image."""
    rng = np.random.default_rng(seed)
    label = np.stack([rng.choice(rng.choice([0, 3, 4, 7, 9, 255], 3), (h, w)) for _ in range(images)])
    found = label_boundaries(torch.from_numpy(label.astype(np.uint8)), classes=8, width=width).numpy()
    for image, maps in zip(label, found, strict=True):
        np.testing.assert_array_equal(maps, brute_force(image, 8, width))


def test_a_change_to_unknown_is_no_boundary():
    label = torch.full((1, 8, 8), 255, dtype=torch.uint8)
    label[:, :, :3] = 2
    assert not label_boundaries(label, classes=21).any()


def test_both_sides_of_a_change():
    label = torch.zeros(1, 4, 8, dtype=torch.uint8)
    label[:, :, 4:] = 3
    found = label_boundaries(label, classes=5, width=2)[0]
    torch.testing.assert_close(found[0], found[3])
    assert found[3, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert not found[[1, 2, 4]].any()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("window", "size"), [(3, (2, 6, 6)), (13, (2, 6, 6)), (5, (3, 4, 11))])
def test_window_boundaries_are_the_definition(seed, window, size):
    label = random_labels(seed, size)
    # Limits that no share of so few pixels meets exactly.
    found = window_boundaries(label, classes=3, window=window, share=0.2013, difference=0.1517).numpy()
    reach = window // 2
    for b, y, x in itertools.product(*(range(side) for side in size)):
        seen = label[b, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].numpy()
        background, *foreground = ((seen == c).mean() for c in range(3))
        top = int(np.argmax(foreground))
        edge = min(foreground[top], background) > 0.2013 and abs(foreground[top] - background) < 0.1517
        expected = np.zeros(3)
        expected[[0, top + 1]] = edge
        np.testing.assert_array_equal(found[b, :, y, x], expected)


@pytest.mark.parametrize("make", [label_boundaries, window_boundaries])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_tiny_labels(make, size):
    label = torch.zeros(2, *size, dtype=torch.uint8)
    assert make(label, classes=3).shape == (2, 3, *size)


def test_bad_sizes_are_refused():
    label = torch.zeros(1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="width"):
        label_boundaries(label, classes=2, width=0)
    with pytest.raises(ValueError, match="window"):
        window_boundaries(label, classes=2, window=4)


@pytest.mark.parametrize("make", [label_boundaries, window_boundaries])
def test_what_is_no_batch_of_label_maps_is_refused(make):
    label = torch.zeros(1, 4, 5, dtype=torch.uint8)
    for wrong in (label[0], label.long(), label.float()):
        with pytest.raises(ValueError, match=r"label: .* is not \(B, H, W\) uint8"):
            make(wrong, classes=3)
