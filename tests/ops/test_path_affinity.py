"""Affinities along paths, and the walk along them, against constructions pixel by pixel."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from references.path_affinity import path_affinity as path_affinity_reference
from sbnet.ops import boundary_walk, grid_radius, pair_offsets, path_affinity
from sbnet.ops.path_affinity import path_pixels


def distance_to_line(pixel, start, end):
    """Of a pixel's centre from the straight line through two others."""
    (y, x), (y0, x0), (y1, x1) = pixel, start, end
    return abs((y1 - y0) * (x - x0) - (x1 - x0) * (y - y0)) / math.dist(start, end)


def brute_affinity(boundary, start, end):
    """1 - the largest of all pixels in the rectangle of two pixels and nearer than 1 to the line through them."""
    h, w = boundary.shape
    on_path = [
        float(boundary[pixel])
        for pixel in itertools.product(range(h), range(w))
        if all(min(a, b) <= at <= max(a, b) for at, a, b in zip(pixel, start, end, strict=True))
        and distance_to_line(pixel, start, end) < 1 - 1e-9
    ]
    return 1 - max(on_path)


@pytest.mark.parametrize(
    ("offset", "pixels"),
    [
        ((0, 2), {(0, 0), (0, 1), (0, 2)}),
        ((1, -1), {(0, 0), (0, -1), (1, 0), (1, -1)}),
        ((2, 2), {(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)}),
        ((1, 3), {(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)}),
    ],
)
def test_paths(offset, pixels):
    found = path_pixels(*offset)
    assert len(found) == len(set(found))
    assert set(found) == pixels - {p for p in pixels if distance_to_line(p, (0, 0), offset) >= 1}
    assert {(0, 0), offset} <= set(found)


def test_paths_are_unbroken():
    """From each pixel of a path but the last there is a neighbour on it that is nearer to the end."""
    for dy, dx in pair_offsets(10):
        path = set(path_pixels(dy, dx))
        for y, x in path - {(dy, dx)}:
            near = {(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)} & path
            assert min(math.dist(p, (dy, dx)) for p in near) < math.dist((y, x), (dy, dx))


@pytest.mark.parametrize("radius", [2, 4, 5])
def test_affinity_pixel_by_pixel(radius):
    boundary = torch.rand(2, 11, 13, dtype=torch.float64)
    found = path_affinity(boundary, radius=radius)
    pixels = list(itertools.product(range(11 - radius + 1), range(radius - 1, 13 - radius + 1)))
    assert found.shape == (2, len(pair_offsets(radius)), len(pixels))
    for p, (dy, dx) in enumerate(pair_offsets(radius)):
        for i, (y, x) in enumerate(pixels):
            for b in range(2):
                expected = brute_affinity(boundary[b], (y, x), (y + dy, x + dx))
                assert found[b, p, i].item() == expected


@pytest.mark.parametrize("size", [(24, 30), (9, 40), (1, 1), (3, 4)])
def test_kernel_and_reference_agree_in_values_and_gradients(size):
    boundary = torch.rand(2, *size, dtype=torch.float64, requires_grad=True)
    found = path_affinity(boundary)
    if grid_radius(*size, 10) == 1:
        assert found.shape == (2, 0, size[0] * size[1])
        return
    expected = path_affinity_reference(boundary)
    assert torch.equal(found, expected)
    weight = torch.rand_like(found)
    gradients = [torch.autograd.grad((each * weight).sum(), boundary)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients)
    assert torch.equal(path_affinity(boundary.detach()), expected.detach())


def test_gradient():
    boundary = torch.rand(2, 7, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: path_affinity(values, radius=3), boundary)


def test_half_precision_is_raised():
    assert path_affinity(torch.rand(1, 12, 12).to(torch.bfloat16)).dtype == torch.float32


def brute_walk(scores, boundary, radius, beta, steps):
    """The dense transition matrix over all pairs of the grid nearer than the radius, and its power."""
    h, w = boundary.shape
    pixels = list(itertools.product(range(h), range(w)))
    matrix = np.eye(h * w)
    for (i, start), (j, end) in itertools.combinations(enumerate(pixels), 2):
        if math.dist(start, end) < radius - 1e-9:
            matrix[i, j] = matrix[j, i] = brute_affinity(boundary, start, end) ** beta
    transition = np.linalg.matrix_power(matrix / matrix.sum(axis=0), steps)
    kept = (scores * (1 - boundary)).reshape(len(scores), -1).numpy()
    return (kept @ transition).reshape(scores.shape)


@pytest.mark.parametrize("size", [(6, 7), (4, 11), (1, 5), (12, 3)])
@pytest.mark.parametrize(("radius", "beta", "steps"), [(5, 10, 256), (3, 2, 5), (6, 1, 1)])
def test_walk_is_the_dense_matrix_of_all_paths(size, radius, beta, steps):
    """Also where the grid is smaller than the radius: no pixel at the rim is without its pairs."""
    random = torch.Generator().manual_seed(0)
    scores = torch.rand(2, *size, dtype=torch.float64, generator=random)
    boundary = torch.rand(size, dtype=torch.float64, generator=random) ** 3
    expected = brute_walk(scores, boundary, radius, beta, steps)
    found = boundary_walk(scores, boundary, radius=radius, beta=beta, steps=steps)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    single = boundary_walk(scores.float(), boundary.float(), radius=radius, beta=beta, steps=steps)
    np.testing.assert_allclose(single, expected, rtol=0, atol=2e-6)


@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_nothing_crosses_a_boundary(wall, steps, seed):
    """A wall two pixels thick cuts every path; scores on it are lost, those on one side stay there."""
    random = torch.Generator().manual_seed(seed)
    scores, boundary = torch.rand(1, 11, 12, generator=random), torch.zeros(11, 12)
    boundary[:, wall : wall + 2] = 1
    left = scores.clone()
    left[..., wall:] = 0
    walked = boundary_walk(left, boundary, steps=steps)
    assert (walked[..., wall:] == 0).all()
    both = boundary_walk(scores, boundary, steps=steps)
    torch.testing.assert_close(both[..., :wall], walked[..., :wall])
    assert (both >= 0).all()
    assert (both <= 1).all()


@given(st.integers(1, 15), st.integers(1, 15), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_no_direction_is_another(h, w, seed):
    """The walk of the mirrored and of the turned grid is the mirrored and turned walk."""
    random = torch.Generator().manual_seed(seed)
    scores = torch.rand(2, h, w, dtype=torch.float64, generator=random)
    boundary = torch.rand(h, w, dtype=torch.float64, generator=random)
    walked = boundary_walk(scores, boundary, steps=3, beta=2)
    mirrored = boundary_walk(scores.flip(-1), boundary.flip(-1), steps=3, beta=2)
    turned = boundary_walk(scores.mT.contiguous(), boundary.mT.contiguous(), steps=3, beta=2)
    torch.testing.assert_close(mirrored.flip(-1), walked)
    torch.testing.assert_close(turned.mT, walked)


def test_input_is_kept():
    scores, boundary = torch.rand(2, 9, 9), torch.rand(9, 9)
    before = scores.clone(), boundary.clone()
    boundary_walk(scores, boundary)
    assert torch.equal(scores, before[0])
    assert torch.equal(boundary, before[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_the_gpu():
    scores, boundary = torch.rand(3, 20, 30), torch.rand(20, 30) ** 3
    walked = boundary_walk(scores.cuda(), boundary.cuda())
    assert walked.is_cuda
    torch.testing.assert_close(walked.cpu(), boundary_walk(scores, boundary), rtol=0, atol=1e-5)
    values = [boundary[None].to(device).requires_grad_() for device in ("cpu", "cuda")]
    gradients = [torch.autograd.grad(path_affinity(each).square().sum(), each)[0] for each in values]
    torch.testing.assert_close(gradients[1].cpu(), gradients[0], rtol=1e-4, atol=1e-3)
