"""Pixel pairs against the golden numbers and a loop over pixels."""

import itertools

import numpy as np
import pytest
import torch

from sbnet.ops import grid_radius, pair_affinity, pair_labels, pair_offsets
from sbnet.ops.affinity import pair_views


@pytest.mark.parametrize(("radius", "count"), [(1, 0), (2, 4), (3, 12), (4, 22), (5, 34)])
def test_offsets_are_half_a_disc(radius, count):
    offsets = pair_offsets(radius)
    assert len(offsets) == count
    assert offsets == sorted(offsets)
    assert all((-dy, -dx) not in offsets for dy, dx in offsets)


@pytest.mark.parametrize(
    ("size", "radius"), [((12, 13), 5), ((11, 40), 5), ((10, 40), 4), ((9, 11), 4), ((1, 1), 1)]
)
def test_radius_shrinks_on_small_grids(size, radius):
    assert grid_radius(*size) == radius


def from_pixels(h, w, radius):
    return list(itertools.product(range(h - radius + 1), range(radius - 1, w - radius + 1)))


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_affinity_is_the_formula(radius):
    features = torch.randn(2, 3, 6, 6)
    found = pair_affinity(features, radius=radius)
    pixels = from_pixels(6, 6, min(radius, 2))
    offsets = pair_offsets(min(radius, 2))
    assert found.shape == (2, len(offsets), len(pixels))
    for b, (p, (dy, dx)), (i, (y, x)) in itertools.product(range(2), enumerate(offsets), enumerate(pixels)):
        difference = (features[b, :, y, x] - features[b, :, y + dy, x + dx]).abs().mean()
        torch.testing.assert_close(found[b, p, i], torch.exp(-difference))


def test_affinity_gradient():
    features = torch.randn(2, 3, 7, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: pair_affinity(values, radius=3), features)


def test_half_precision_is_raised():
    features = torch.rand(1, 4, 12, 12).to(torch.bfloat16)
    assert pair_affinity(features).dtype == torch.float32


@pytest.mark.parametrize("seed", [0, 1])
def test_labels_are_the_reference(golden, seed):
    numbers = golden.load("affinity_labels", seed)
    found = pair_labels(torch.from_numpy(numbers["label"]))
    names = ("background_positive", "foreground_positive", "negative")
    for mask, name in zip(found, names, strict=True):
        np.testing.assert_array_equal(mask, numbers[name].astype(bool))


def test_labels_are_the_definition():
    label = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (6, 7))
    background, foreground, negative = pair_labels(torch.from_numpy(label), radius=5)
    for (p, (dy, dx)), (i, (y, x)) in itertools.product(
        enumerate(pair_offsets(2)), enumerate(from_pixels(6, 7, 2))
    ):
        pair = {int(label[y, x]), int(label[y + dy, x + dx])}
        assert background[p, i] == (pair == {0})
        assert foreground[p, i] == (pair in ({1}, {2}))
        assert negative[p, i] == (len(pair) == 2 and 255 not in pair)


def test_labels_of_a_batch():
    label = torch.randint(0, 3, (2, 12, 13), dtype=torch.uint8)
    for batched, single in zip(pair_labels(label), pair_labels(label[1]), strict=True):
        torch.testing.assert_close(batched[1], single)


@pytest.mark.parametrize("seed", [0, 1])
def test_pairs_make_the_reference_s_dense_matrix(golden, seed):
    numbers = golden.load("affinitynet", seed)
    dense = torch.eye(9 * 11)
    index = torch.arange(9 * 11).reshape(9, 11)
    for (start, end), row in zip(
        pair_views(index, 4), torch.from_numpy(numbers["affinity_small"][0]), strict=True
    ):
        dense[start.flatten(), end.flatten()] = dense[end.flatten(), start.flatten()] = row
    np.testing.assert_allclose(dense, numbers["affinity_small_dense"], rtol=0, atol=1e-6)


def test_nan_stays_in_the_pairs_that_have_it():
    features = torch.rand(1, 3, 12, 13)
    features[0, 1, 6, 6] = torch.nan
    wrong = pair_affinity(features)[0].isnan()
    expected = torch.zeros_like(wrong)
    marked = torch.zeros(12, 13)
    marked[6, 6] = 1
    for row, (start, end) in zip(expected, pair_views(marked, 5), strict=True):
        row |= ((start + end) > 0).flatten()
    assert torch.equal(wrong, expected)
