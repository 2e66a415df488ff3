"""The lattice in PyTorch, alone; test_dense_crf.py holds it to the compiled one and to the reference library."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from references.dense_crf import exact_filter
from sbnet.ops.permutohedral import PermutohedralLattice, _bags, _elevate, _simplices

BOUNDS = (4.0, 4.0, 4.0, 4.0, 4.0)


def random_features(seed: int, sets: int, points: int, dimensions: int) -> torch.Tensor:
    return 4 * torch.rand(sets, points, dimensions, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_points_lie_in_their_simplices(dimensions: int) -> None:
    elevated = _elevate(random_features(0, 1, 500, dimensions)[0])
    torch.testing.assert_close(elevated.sum(1), torch.zeros(500), rtol=0, atol=1e-4)
    multiple, by_rank, weights = _simplices(elevated)
    count = dimensions + 1
    assert (weights > -1e-5).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(500))
    corner, middle = multiple * count, 0
    for remainder in range(count):
        assert (corner.sum(1) == 0).all()
        assert (corner % count == remainder).all()
        middle = middle + weights[:, remainder, None] * corner
        corner = corner + 1  # and one coordinate loses D
        corner.scatter_add_(1, by_rank[:, remainder, None], torch.full((500, 1), -count))
    torch.testing.assert_close(middle, elevated, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("dimensions", "bound"), [(2, 0.04), (3, 0.06)])
def test_filter_approximates_the_gaussian_sum(dimensions: int, bound: float) -> None:
    """Both keep the mass; on average they lie a few percent of a value's size apart."""
    features = random_features(1, 1, 1500, dimensions)
    values = torch.sin(features[0, :, :1] * 2) + 1
    lattice = PermutohedralLattice(features, bounds=BOUNDS[:dimensions])
    exact = exact_filter(features[0].numpy())(values.double().numpy())
    found = lattice.filter(values).numpy()
    assert abs(found - exact).mean() < bound * abs(exact).mean()


@given(
    seed=st.integers(0, 999), sets=st.integers(1, 3), points=st.integers(1, 40), dimensions=st.integers(1, 5)
)
@settings(max_examples=40, deadline=None)
def test_sets_do_not_see_each_other(seed: int, sets: int, points: int, dimensions: int) -> None:
    features = random_features(seed, sets, points, dimensions)
    values = torch.rand(sets, points, 2, generator=torch.Generator().manual_seed(seed))
    together = PermutohedralLattice(features, bounds=BOUNDS[:dimensions]).filter(values.flatten(0, 1))
    for found, one, of_one in zip(together.view_as(values), features, values, strict=True):
        alone = PermutohedralLattice(one[None], bounds=BOUNDS[:dimensions]).filter(of_one)
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-6)


@given(counts=st.lists(st.integers(1, 9000), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_bags_hold_every_number_once(counts: list[int]) -> None:
    numbers = np.random.default_rng(0).integers(0, 100, sum(counts))
    expected = [part.sum() for part in np.split(numbers, np.cumsum(counts)[:-1])]
    for starts in _bags(torch.tensor(counts)):
        assert np.diff(np.append(starts, len(numbers))).max() <= 64
        numbers = np.add.reduceat(numbers, starts)
    np.testing.assert_array_equal(numbers, expected)


def test_many_points_at_one_place_keep_their_precision() -> None:
    """A sum one by one in single precision would be off in the fourth digit."""
    features, values = torch.zeros(1, 200_000, 2), torch.full((200_000, 1), 0.1)
    found = PermutohedralLattice(features, bounds=(1, 1)).filter(values)
    torch.testing.assert_close(found, values, rtol=1e-5, atol=0)


def test_what_has_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="too small for an image of this size"):
        PermutohedralLattice(torch.zeros(1, 4, 5), bounds=(1e4, 1e4, 1e4, 1e4, 1e4))
    with pytest.raises(ValueError, match="too small for an image of this size"):
        PermutohedralLattice(torch.zeros(1, 4, 2), bounds=(1e30, 1))
    with pytest.raises(ValueError, match=r"1 x 800000000 pixels are too many"):
        PermutohedralLattice(torch.zeros(1, 1, 2).expand(1, 800_000_000, 2), bounds=(1, 1))
