"""The sparse walk against golden numbers, the dense formula and its own properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet import _kernels
from sbnet.ops import grid_radius, pair_affinity, pair_offsets, random_walk
from sbnet.ops.random_walk import random_walk_reference, random_walk_stencil


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("power", [6, 8])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
def test_reference_numbers(golden, seed, power, dtype, tolerance):
    numbers = golden.load("random_walk", seed)
    scores, affinity = (torch.from_numpy(numbers[name]) for name in ("cams", "affinity"))
    walked = random_walk(scores.to(dtype), affinity, steps=2**power)
    assert walked.dtype == dtype
    np.testing.assert_allclose(walked, numbers[f"walk_{power}"], rtol=0, atol=tolerance)


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


@pytest.mark.parametrize("implementation", range(len(_kernels.implementations())))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(walk=walks(), maps=st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_every_instruction_set_is_the_stencil(implementation, dtype, walk, maps):
    scores, affinity, steps, sharpness = walk
    scores, affinity = scores.to(dtype).repeat(5, 1, 1)[:maps].contiguous(), affinity.to(dtype)
    h, w = scores.shape[1:]
    radius = grid_radius(h, w)
    margin = radius - 1
    weights = (affinity**sharpness).reshape(-1, h - margin, w - 2 * margin).numpy()
    offset_y, offset_x = ([pair[axis] for pair in pair_offsets(radius)] for axis in (0, 1))
    walked = _kernels.random_walk(scores.numpy(), weights, offset_y, offset_x, margin, steps, implementation)
    expected = random_walk_stencil(scores, affinity, radius=radius, sharpness=sharpness, steps=steps)
    np.testing.assert_allclose(walked, expected, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-12)


def test_constants_stay_to_the_last_bit():
    affinity = pair_affinity(torch.randn(1, 4, 20, 30))[0]
    scores = torch.full((2, 20, 30), 0.3)
    assert torch.equal(random_walk(scores, affinity, steps=256), scores)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_arrays_of_any_layout(dtype):
    scores, affinity = (
        torch.rand(2, 12, 15, dtype=dtype),
        pair_affinity(torch.randn(1, 4, 12, 15, dtype=dtype))[0],
    )
    expected = random_walk(scores, affinity)
    walked = random_walk(scores.permute(1, 2, 0).contiguous().permute(2, 0, 1), affinity.T.contiguous().T)
    assert walked.dtype == dtype
    assert torch.equal(walked, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_back_as_it_came(dtype):
    affinity, scores = pair_affinity(torch.randn(1, 4, 12, 15))[0], torch.rand(2, 12, 15).to(dtype)
    walked = random_walk(scores, affinity, steps=8)
    assert walked.dtype == dtype
    torch.testing.assert_close(
        walked.float(), random_walk(scores.float(), affinity, steps=8), rtol=0, atol=4e-3
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_the_gpu():
    scores, affinity = torch.rand(3, 20, 30), pair_affinity(torch.randn(1, 4, 20, 30))[0]
    walked = random_walk(scores.cuda(), affinity.cuda())
    assert walked.is_cuda
    torch.testing.assert_close(walked.cpu(), random_walk(scores, affinity), rtol=0, atol=1e-5)


def test_what_cannot_be_walked_is_refused():
    scores, affinity = torch.rand(1, 12, 12), torch.rand(34, 32)
    with pytest.raises(ValueError, match="does not fit"):
        random_walk(scores, torch.rand(34, 7))
    with pytest.raises(ValueError, match="does not fit"):
        random_walk(scores, affinity[:33])
    with pytest.raises(ValueError, match="does not fit"):
        random_walk(scores[:, :0], affinity)
    for steps in (-1, 2.5):
        with pytest.raises(ValueError, match=f"steps: {steps} is not a whole number"):
            random_walk(scores, affinity, steps=steps)
    for value in (torch.nan, -0.1, 1.5):
        wrong = affinity.clone()
        wrong[3, 4] = value
        with pytest.raises(ValueError, match=r"affinity: not all are in \[0, 1\]"):
            random_walk(scores, wrong)
    scores[0, 3, 4] = torch.nan
    with pytest.raises(ValueError, match="scores: not all are finite"):
        random_walk(scores, affinity)
