"""The sparse walk against golden numbers, the dense formula and its own properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet.ops import grid_radius, pair_affinity, random_walk
from sbnet.ops.random_walk import random_walk_reference


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("power", [6, 8])
def test_reference_numbers(golden, seed, power):
    numbers = golden.load("random_walk", seed)
    walked = random_walk(*(torch.from_numpy(numbers[name]) for name in ("cams", "affinity")), steps=2**power)
    assert walked.dtype == torch.float32
    np.testing.assert_allclose(walked, numbers[f"walk_{power}"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("power", [0, 4, 6, 8])
def test_reference_network_numbers(golden, seed, power):
    numbers = golden.load("affinitynet", seed)
    affinity = torch.from_numpy(numbers["affinity_small"][0])
    walked = random_walk(torch.from_numpy(numbers["cams"]), affinity, radius=4, steps=2**power)
    np.testing.assert_allclose(walked, numbers[f"walk_{power}"], rtol=0, atol=1e-5)


@st.composite
def walks(draw):
    h, w = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    affinity = pair_affinity(torch.randn(1, 3, h, w, generator=generator))[0]
    scores = torch.rand(2, h, w, generator=generator)
    return scores, affinity, draw(st.integers(0, 9)), draw(st.sampled_from([1, 2.5, 8]))


@given(walks())
@settings(max_examples=40, deadline=None)
def test_walk_is_the_dense_formula(walk):
    scores, affinity, steps, sharpness = walk
    before = scores.clone()
    walked = random_walk(scores, affinity, steps=steps, sharpness=sharpness)
    reference = random_walk_reference(scores.double(), affinity.double(), steps=steps, sharpness=sharpness)
    torch.testing.assert_close(walked.double(), reference, rtol=0, atol=1e-6)
    torch.testing.assert_close(scores, before, rtol=0, atol=0)


@given(walks(), st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_each_pixel_becomes_a_weighted_mean(walk, value):
    """Columns sum to 1, so constants stay and nothing leaves the range; sums of maps walk as their parts."""
    scores, affinity, steps, sharpness = walk
    walked = random_walk(scores.double(), affinity, steps=steps, sharpness=sharpness)
    assert (walked.amin((1, 2)) >= scores.amin((1, 2)) - 1e-9).all()
    assert (walked.amax((1, 2)) <= scores.amax((1, 2)) + 1e-9).all()
    constant = torch.full_like(scores, value, dtype=torch.float64)
    torch.testing.assert_close(random_walk(constant, affinity, steps=steps, sharpness=sharpness), constant)
    both = (scores[:1] + value * scores[1:]).double()
    combined = walked[:1] + value * walked[1:]
    torch.testing.assert_close(random_walk(both, affinity, steps=steps, sharpness=sharpness), combined)
    torch.testing.assert_close(random_walk(scores, affinity, steps=0), scores, rtol=0, atol=0)


def test_brute_force_step():
    """One step on 6 x 6, pixel by pixel: column sums over the symmetric matrix with unit diagonal."""
    features, scores = torch.randn(1, 2, 6, 6), torch.rand(1, 6, 6)
    assert grid_radius(6, 6) == 2
    affinity = pair_affinity(features)[0]
    walked = random_walk(scores, affinity, sharpness=3, steps=1)
    weights = {}
    for p, (dy, dx) in enumerate([(0, 1), (1, -1), (1, 0), (1, 1)]):
        for i in range(20):
            start = (i // 4, 1 + i % 4)
            end = (start[0] + dy, start[1] + dx)
            weights[start, end] = weights[end, start] = float(affinity[p, i]) ** 3
    for y in range(6):
        for x in range(6):
            near = {(y, x): 1.0} | {a: weight for (a, b), weight in weights.items() if b == (y, x)}
            mean = sum(weight * float(scores[0][a]) for a, weight in near.items()) / sum(near.values())
            assert float(walked[0, y, x]) == pytest.approx(mean, rel=1e-5)


def test_affinity_of_another_grid_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        random_walk(torch.rand(1, 12, 12), torch.rand(34, 7))
