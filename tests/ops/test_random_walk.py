"""The sparse walk against golden numbers, the dense formula and its own properties, in each way that it runs."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from references.random_walk import random_walk as dense_walk
from sbnet import _kernels
from sbnet.ops import grid_radius, pair_affinity, pair_offsets, random_walk
from sbnet.ops.random_walk import random_walk_torch
from ways import walk


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("power", [6, 8])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
def test_reference_numbers(way, golden, seed, power, dtype, tolerance):
    numbers = golden.load("random_walk", seed)
    scores, affinity = (torch.from_numpy(numbers[name]) for name in ("cams", "affinity"))
    walked = walk(way, scores.to(dtype), affinity, steps=2**power)
    assert walked.dtype == dtype
    np.testing.assert_allclose(walked, numbers[f"walk_{power}"], rtol=0, atol=tolerance)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("power", [0, 4, 6, 8])
def test_reference_network_numbers(way, golden, seed, power):
    numbers = golden.load("affinitynet", seed)
    affinity = torch.from_numpy(numbers["affinity_small"][0])
    walked = walk(way, torch.from_numpy(numbers["cams"]), affinity, radius=4, steps=2**power)
    np.testing.assert_allclose(walked, numbers[f"walk_{power}"], rtol=0, atol=1e-5)


@st.composite
def walks(draw):
    h, w = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    affinity = pair_affinity(torch.randn(1, 3, h, w, generator=generator))[0]
    scores = torch.rand(2, h, w, generator=generator)
    return scores, affinity, draw(st.integers(0, 9)), draw(st.sampled_from([1, 2.5, 8]))


@given(case=walks())
@settings(max_examples=40, deadline=None)
def test_walk_is_the_dense_formula(way, case):
    scores, affinity, steps, beta = case
    before = scores.clone()
    walked = walk(way, scores, affinity, steps=steps, beta=beta)
    reference = dense_walk(scores.double(), affinity.double(), steps=steps, beta=beta)
    torch.testing.assert_close(walked.double(), reference, rtol=0, atol=1e-6)
    torch.testing.assert_close(scores, before, rtol=0, atol=0)


@given(case=walks(), value=st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_a_constant_map_stays(way, case, value):
    scores, affinity, steps, beta = case
    constant = torch.full_like(scores, value)
    assert torch.equal(walk(way, constant, affinity, steps=steps, beta=beta), constant)
    constant = constant.double()
    walked = walk(way, constant, affinity, steps=steps, beta=beta)
    torch.testing.assert_close(walked, constant, rtol=1e-13, atol=0)


@given(case=walks(), low=st.floats(-100, 100), size=st.floats(0, 100))
@settings(max_examples=40, deadline=None)
def test_each_pixel_becomes_a_weighted_mean(way, case, low, size):
    """So nothing leaves the range of the map's values, but for the last bit of single precision."""
    scores, affinity, steps, beta = case
    scores = low + size * scores
    walked = walk(way, scores, affinity, steps=steps, beta=beta)
    slack = 1e-6 * scores.abs().max()
    assert (walked.amin((1, 2)) >= scores.amin((1, 2)) - slack).all()
    assert (walked.amax((1, 2)) <= scores.amax((1, 2)) + slack).all()


@given(case=walks(), factor=st.floats(-3, 3), dtype=st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=40, deadline=None)
def test_no_steps_change_nothing(way, case, factor, dtype):
    scores, affinity, _, beta = case
    scores = factor * scores.to(dtype)
    assert torch.equal(walk(way, scores, affinity, beta=beta, steps=0), scores)


@given(case=walks(), factors=st.tuples(st.floats(-3, 3), st.floats(-3, 3)))
@settings(max_examples=40, deadline=None)
def test_sums_of_maps_walk_as_their_parts(way, case, factors):
    scores, affinity, steps, beta = case
    one, other = scores.double().unbind()
    mixed = factors[0] * one + factors[1] * other
    walked = walk(way, torch.stack([one, other, mixed]), affinity, steps=steps, beta=beta)
    torch.testing.assert_close(walked[2], factors[0] * walked[0] + factors[1] * walked[1], rtol=0, atol=1e-12)


@given(
    cases=st.integers(1, 4), size=st.tuples(st.integers(1, 12), st.integers(1, 12)), seed=st.integers(0, 999)
)
@settings(max_examples=30, deadline=None)
def test_a_batch_is_its_photos(way, cases, size, seed):
    generator = torch.Generator().manual_seed(seed)
    affinity = pair_affinity(torch.randn(cases, 3, *size, generator=generator))
    scores = torch.rand(cases, 2, *size, generator=generator)
    walked = walk(way, scores, affinity, steps=9)
    assert walked.shape == scores.shape
    for result, photo, pairs in zip(walked, scores, affinity, strict=True):
        torch.testing.assert_close(result, walk("compiled", photo, pairs, steps=9), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("labels", "h", "w"), [(3, 47, 63), (21, 24, 31), (1, 5, 40), (1, 1, 1), (0, 6, 7)])
def test_both_paths_agree_over_the_whole_walk(labels, h, w):
    """64 steps on photos' grids, within 1e-5; on the narrow grid the radius is 2, on the single pixel 1."""
    torch.manual_seed(0)
    affinity = pair_affinity(0.7 * torch.nn.functional.avg_pool2d(torch.randn(1, 16, h, w), 3, 1, 1))[0]
    scores = torch.rand(labels, h, w)
    compiled, in_torch = (walk(way, scores, affinity) for way in ("compiled", "torch"))
    torch.testing.assert_close(in_torch, compiled, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixels_that_nothing_joins_stay(way, dtype):
    scores = torch.rand(2, 12, 15, dtype=dtype)
    assert torch.equal(walk(way, scores, torch.zeros(34, 56)), scores)
    assert torch.equal(walk(way, scores, torch.full((34, 56), 0.5), beta=400), scores)


def test_maps_that_would_take_much_memory_walk_in_parts(monkeypatch):
    affinity, scores = pair_affinity(torch.randn(2, 4, 12, 15)), torch.rand(2, 5, 12, 15)
    expected = random_walk_torch(scores, affinity, steps=5)
    monkeypatch.setattr(sys.modules["sbnet.ops.random_walk"], "_PRODUCT", 8 * 2 * 12 * 15 * 81 * 2)
    torch.testing.assert_close(random_walk_torch(scores, affinity, steps=5), expected, rtol=0, atol=0)


def test_memory_grows_with_the_pixels():
    """Nothing of the torch path is as large as the dense matrix, (h w) squared, would be."""
    affinity, scores = pair_affinity(torch.rand(1, 2, 60, 80)), torch.rand(1, 1, 60, 80)
    with torch.profiler.profile(profile_memory=True) as profile:
        random_walk_torch(scores, affinity, steps=2)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert 0 < largest < 3 * 8 * 81 * 60 * 80


def test_brute_force_step():
    """One step on 6 x 6, pixel by pixel: column sums over the symmetric matrix with unit diagonal."""
    features, scores = torch.randn(1, 2, 6, 6), torch.rand(1, 6, 6)
    assert grid_radius(6, 6) == 2
    affinity = pair_affinity(features)[0]
    walked = random_walk(scores, affinity, beta=3, steps=1)
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
@given(case=walks(), maps=st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_every_instruction_set_is_the_torch_path(implementation, dtype, case, maps):
    scores, affinity, steps, beta = case
    scores, affinity = scores.to(dtype).repeat(5, 1, 1)[:maps].contiguous(), affinity.to(dtype)
    h, w = scores.shape[1:]
    radius = grid_radius(h, w)
    margin = radius - 1
    weights = (affinity**beta).reshape(-1, h - margin, w - 2 * margin).numpy()
    offset_y, offset_x = ([pair[axis] for pair in pair_offsets(radius)] for axis in (0, 1))
    walked = _kernels.random_walk(scores.numpy(), weights, offset_y, offset_x, margin, steps, implementation)
    expected = walk("torch", scores, affinity, beta=beta, steps=steps)
    np.testing.assert_allclose(walked, expected, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-12)


def test_constants_stay_to_the_last_bit(way):
    affinity = pair_affinity(torch.randn(1, 4, 20, 30))[0]
    scores = torch.full((2, 20, 30), 0.3)
    assert torch.equal(walk(way, scores, affinity, steps=256), scores)


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
def test_half_precision_comes_back_as_it_came(way, dtype):
    affinity, scores = pair_affinity(torch.randn(1, 4, 12, 15))[0], torch.rand(2, 12, 15).to(dtype)
    walked = walk(way, scores, affinity, steps=8)
    assert walked.dtype == dtype
    torch.testing.assert_close(
        walked.float(), random_walk(scores.float(), affinity, steps=8), rtol=0, atol=4e-3
    )


def test_what_cannot_be_walked_is_refused():
    scores, affinity = torch.rand(1, 12, 12), torch.rand(34, 32)
    with pytest.raises(ValueError, match="does not fit"):
        random_walk(scores, torch.rand(34, 7))
    with pytest.raises(ValueError, match="does not fit"):
        random_walk(scores, affinity[:33])
    with pytest.raises(ValueError, match="does not fit"):
        random_walk(scores[:, :0], affinity)
    with pytest.raises(ValueError, match=r"shape \(12, 12\) is not \(K, h, w\)"):
        random_walk(scores[0], affinity)
    with pytest.raises(ValueError, match="does not fit"):
        random_walk(scores[None], affinity)
    with pytest.raises(ValueError, match=r"scores: torch\.int64 is not a floating-point type"):
        random_walk(scores.long(), affinity)
    for beta in (-1, torch.nan, torch.inf):
        with pytest.raises(ValueError, match=f"beta: {beta} is not a finite number"):
            random_walk(scores, affinity, beta=beta)
    for steps in (-1, 2.5):
        with pytest.raises(ValueError, match=f"steps: {steps} is not a whole number"):
            random_walk(scores, affinity, steps=steps)
    for value in (torch.nan, -0.1, 1.5):
        wrong = affinity.clone()
        wrong[3, 4] = value
        with pytest.raises(ValueError, match=rf"affinity: {value} at index \(3, 4\) is not in \[0, 1\]"):
            random_walk(scores, wrong)
    for value in (torch.nan, -torch.inf):
        scores[0, 3, 4] = value
        with pytest.raises(ValueError, match=rf"scores: {value} at index \(0, 3, 4\) is not finite"):
            random_walk(scores, affinity)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_instruction_set_gives_the_same_bits(dtype):
    affinity = pair_affinity(torch.randn(1, 6, 40, 51, dtype=dtype))[0]
    weights = (affinity**8).unflatten(-1, (36, 43)).contiguous().numpy()
    offset_y, offset_x = ([pair[axis] for pair in pair_offsets(5)] for axis in (0, 1))
    scores = torch.rand(3, 40, 51, dtype=dtype).numpy()
    first, *others = (
        _kernels.random_walk(scores, weights, offset_y, offset_x, 4, 64, implementation)
        for implementation in range(len(_kernels.implementations()))
    )
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_whole_numbers_of_numpy_are_steps():
    affinity = pair_affinity(torch.randn(1, 4, 12, 13))[0]
    scores = torch.rand(2, 12, 13)
    assert torch.equal(
        random_walk(scores, affinity, steps=np.int64(3)), random_walk(scores, affinity, steps=3)
    )
