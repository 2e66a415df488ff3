"""DenseCRF: against the reference library's numbers, against the formula, and its manners, in each way that it runs."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from references.dense_crf import exact_filter, mean_field, permutohedral_filter
from sbnet import _kernels
from sbnet.data.synthetic.scenes import scene
from sbnet.ops.dense_crf import DenseCRF, largest_shares
from ways import crf


def random_case(
    seed: int, *, labels: int = 3, height: int = 9, width: int = 11
) -> tuple[np.ndarray, np.ndarray]:
    """A photo with two regions and noise, probabilities that follow them loosely."""
    rng = np.random.default_rng(seed)
    region = (np.arange(width) > width // 2)[None, :, None]
    image = np.clip(60 + 100 * region + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
    return image, rng.random((labels, height, width), np.float32)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("iterations", "suffix"), [(1, "_1iter"), (10, "")])
@pytest.mark.parametrize("options", [{}, {"negligible": 0}])
def test_marginals_of_the_reference_library(
    way: str, golden: Any, seed: int, iterations: int, suffix: str, options: dict
) -> None:
    reference = golden.load("dense_crf", seed)
    cams = reference["cams"]
    background = 1 - cams.max(0, keepdims=True)
    sets = np.stack([np.concatenate([background**alpha, cams]) for alpha in (4, 24)])
    ours = crf(way, reference["image"]).marginals(sets, iterations=iterations, **options)
    for marginals, alpha in zip(ours, (4, 24), strict=True):
        expected = reference[f"marginals_alpha{alpha}{suffix}"]
        assert (marginals.argmax(0) == expected.argmax(0)).mean() >= 0.9999
        np.testing.assert_allclose(marginals, expected, atol=1e-5 if way == "compiled" else 1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_deeplab_settings_of_the_reference_library(way: str, golden: Any, seed: int) -> None:
    reference = golden.load("dense_crf_deeplab", seed)
    logits = torch.nn.functional.interpolate(
        torch.from_numpy(reference["logits_low"])[None], size=(120, 160), mode="bicubic", align_corners=False
    )[0]
    deeplab = crf(way, reference["image"], gaussian=(1, 3), bilateral=(67, 3, 4))
    marginals = deeplab.marginals(logits.softmax(0))
    assert (marginals.argmax(0).numpy() == reference["argmax"]).mean() >= 0.9999
    np.testing.assert_allclose(marginals.amax(0), reference["max"], atol=6e-4)  # stored as float16


@pytest.mark.parametrize("labels", [1, 2, 5, 21, 30])
@pytest.mark.parametrize("iterations", [0, 1, 10])
def test_mean_field_is_the_formula(way: str, labels: int, iterations: int) -> None:
    image, probabilities = random_case(labels, labels=labels)
    options = {"gaussian": (1.5, 2.0), "bilateral": (20.0, 9.0, 5.0)}
    expected = mean_field(image, probabilities, **options, iterations=iterations, method=permutohedral_filter)
    ours = crf(way, image, **options).marginals(probabilities, iterations=iterations)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "iterations", "distance"),
    [({}, 1, 0.015), ({"gaussian": (3, 1), "bilateral": (20, 13, 1)}, 10, 0.003)],
)
def test_lattice_approximates_the_gaussian_sum(
    way: str, options: dict, iterations: int, distance: float
) -> None:
    """The lattice is an approximation: here the marginals lie 0.010 and 0.002 from the exact sum's on average,
    and 2 to 4 % of the pixels change their label."""
    image, probabilities = random_case(0, height=12, width=14)
    exact = mean_field(image, probabilities, **options, iterations=iterations, method=exact_filter)
    ours = crf(way, image, **options).marginals(probabilities, iterations=iterations)
    assert abs(ours - exact).mean() < distance
    assert (ours.argmax(0) == exact.argmax(0)).mean() > 0.95


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    sets=st.integers(1, 4),
    labels=st.integers(1, 12),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    iterations=st.integers(0, 4),
)
def test_properties(
    way: str, seed: int, sets: int, labels: int, height: int, width: int, iterations: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    probabilities = rng.random((sets, labels, height, width), np.float32)
    photo = crf(way, image)
    options = {"iterations": iterations, "negligible": 0}
    marginals = photo.marginals(probabilities, **options)
    assert marginals.shape == probabilities.shape
    assert marginals.dtype == np.float32
    assert (marginals >= 0).all()
    np.testing.assert_allclose(marginals.sum(1), 1, atol=1e-5)
    one_by_one = np.stack([photo.marginals(one, **options) for one in probabilities])
    np.testing.assert_allclose(marginals, one_by_one, atol=1e-5)
    order = rng.permutation(labels)
    other = photo.marginals(probabilities[:, order], **options)
    np.testing.assert_allclose(
        other, marginals[:, order], atol=1e-4
    )  # sums in another order, fed back four times


@pytest.mark.parametrize("labels", [1, 6, 11, 21, 30])
@pytest.mark.parametrize("noise", [False, True])
def test_every_instruction_set_gives_the_same_bits(labels: int, noise: bool) -> None:
    """Nothing is contracted to fused multiply-adds, and sums have one order: figures do not depend on the machine."""
    rng, height, width = np.random.default_rng(labels), 90, 121
    image = scene(labels, 3, size=(height, width))[0]
    image = rng.integers(0, 256, image.shape, np.uint8) if noise else image
    probabilities = rng.random((2, labels, height * width), np.float32)
    results = []
    for implementation in range(len(_kernels.implementations())):
        lattices = [
            _kernels.Lattice(height, width, 2.0, implementation),
            _kernels.Lattice(image, 30.0, 13.0, implementation),
        ]
        marginals = np.empty_like(probabilities)
        _kernels.mean_field(
            probabilities, marginals, lattices, [2.0, 4.0], 10, list(range(labels)), implementation
        )
        results.append(marginals)
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_no_iterations_normalise(way: str) -> None:
    image, probabilities = random_case(3)
    probabilities[0] = 0
    clipped = probabilities.clip(1e-5, 1)
    np.testing.assert_allclose(
        crf(way, image).marginals(probabilities, iterations=0, negligible=0),
        clipped / clipped.sum(0),
        rtol=1e-5,
        atol=1e-9,
    )


def test_negligible_labels_take_no_part(way: str) -> None:
    image, probabilities = random_case(3, labels=5)
    probabilities[[1, 3]] *= 0.004
    probabilities /= probabilities.sum(0)
    photo = crf(way, image)
    few = photo.marginals(probabilities)
    assert (few[[1, 3]] == 0).all()
    np.testing.assert_allclose(few[[0, 2, 4]], photo.marginals(probabilities[[0, 2, 4]]), atol=1e-6)
    np.testing.assert_allclose(few, photo.marginals(probabilities, negligible=0), atol=1e-3)
    probabilities[3, 2, 2] = 0.3  # strong in a single pixel
    assert (photo.marginals(probabilities)[3] > 0).any()


@given(
    seed=st.integers(0, 2**16),
    sets=st.integers(1, 3),
    labels=st.integers(1, 6),
    pixels=st.integers(1, 9000),
    scale=st.sampled_from([1e-7, 0.01, 1, 30]),
)
@settings(max_examples=30, deadline=None)
def test_shares_are_those_of_the_clipped_probabilities(
    seed: int, sets: int, labels: int, pixels: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    probabilities = (rng.random((sets, labels, pixels)) ** 4 * scale).astype(np.float32)
    clipped = probabilities.clip(1e-5, 1)
    expected = (clipped / clipped.sum(1, keepdims=True)).max((0, 2))
    np.testing.assert_allclose(largest_shares(torch.from_numpy(probabilities)), expected, rtol=1e-5)


def test_labels_that_are_all_alike_all_stay(way: str) -> None:
    image, _ = random_case(0)
    nothing = np.zeros((200, *image.shape[:2]), np.float32)
    np.testing.assert_allclose(crf(way, image).marginals(nothing), 1 / 200, atol=1e-6)


@pytest.mark.parametrize("negligible", [-0.1, 1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(negligible: float) -> None:
    image, probabilities = random_case(0)
    with pytest.raises(ValueError, match=r"negligible: .* is not a share"):
        DenseCRF(image).marginals(probabilities, negligible=negligible)


def test_deviations_that_vanish_in_single_precision_are_refused() -> None:
    image, _ = random_case(0)
    with pytest.raises(ValueError, match=r"srgb is 0\.0; it must be a finite number above 0"):
        DenseCRF(image, bilateral=(80, 1e-46, 10))
    with pytest.raises(ValueError, match="weight is inf"):
        DenseCRF(image, gaussian=(3, 1e39))


def test_kernel_arguments_that_do_not_fit_are_refused() -> None:
    """What would read or write beyond an array, were it not refused."""
    lattice = _kernels.Lattice(2, 3, 1.0)
    probabilities = np.ones((1, 2, 6), np.float32)
    result = np.empty_like(probabilities)
    for marginals, lattices, iterations, used in (
        (result, [None], 1, [0, 1]),
        (result, [_kernels.Lattice(2, 2, 1.0)], 1, [0, 1]),
        (result, [lattice], -1, [0, 1]),
        (result, [lattice], 1, [0, 2]),
        (result, [lattice], 1, [0, 0]),
        (result[:, :1], [lattice], 1, [0, 1]),
        (result.astype(np.float64), [lattice], 1, [0, 1]),
    ):
        with pytest.raises((ValueError, TypeError)):
            _kernels.mean_field(probabilities, marginals, lattices, [1.0], iterations, used)


def test_large_weights_and_confident_input_stay_finite(way: str) -> None:
    image, probabilities = random_case(4)
    strong = crf(way, image, gaussian=(3, 1000), bilateral=(80, 13, 5000))
    marginals = strong.marginals((probabilities > 0.5).astype(np.float32))
    np.testing.assert_allclose(marginals.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 2)])
def test_small_and_uniform_images(way: str, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 128, np.uint8)
    probabilities = np.stack([np.full(shape, 0.7, np.float32), np.full(shape, 0.3, np.float32)])
    marginals = crf(way, image).marginals(probabilities)
    np.testing.assert_allclose(marginals.sum(0), 1, atol=1e-6)
    assert (marginals[0] > 0.7).all()


def test_kinds_in_kinds_out() -> None:
    image, probabilities = random_case(5)
    expected = DenseCRF(image).marginals(probabilities)
    assert isinstance(expected, np.ndarray)
    photo = DenseCRF(torch.from_numpy(image))
    for dtype, tolerance in ((torch.float32, 0), (torch.float64, 0), (torch.float16, 0.05)):
        tensor = torch.from_numpy(probabilities).to(dtype).requires_grad_()
        result = photo.marginals(tensor)
        assert isinstance(result, torch.Tensor)
        assert result.dtype == torch.float32
        np.testing.assert_allclose(result, expected, atol=tolerance)
    flipped = np.ascontiguousarray(probabilities[:, ::-1])[:, ::-1]  # not contiguous
    np.testing.assert_array_equal(photo.marginals(flipped), expected)
    np.testing.assert_array_equal(photo.marginals(probabilities.astype(np.float64)), expected)
    flipped_image = np.ascontiguousarray(image[::-1])[::-1]
    np.testing.assert_array_equal(DenseCRF(flipped_image).marginals(probabilities), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_device_in_device_out() -> None:
    """The photo's device computes; the result lies where the probabilities do."""
    image, probabilities = random_case(5)
    expected = DenseCRF(image).marginals(probabilities)
    there, here = DenseCRF(torch.from_numpy(image).cuda()), DenseCRF(torch.from_numpy(image))
    tensor = torch.from_numpy(probabilities)
    for photo, values, device in (
        (there, tensor.cuda(), "cuda"),
        (there, tensor.cuda().double().requires_grad_(), "cuda"),
        (there, tensor, "cpu"),
        (here, tensor.cuda(), "cuda"),
    ):
        result = photo.marginals(values)
        assert result.device.type == device
        assert result.dtype == torch.float32
        np.testing.assert_allclose(result.cpu(), expected, atol=1e-4)
    array = there.marginals(probabilities)
    assert isinstance(array, np.ndarray)
    np.testing.assert_allclose(array, expected, atol=1e-4)


def test_input_unchanged_and_result_repeatable(way: str) -> None:
    image, probabilities = random_case(6)
    before = image.copy(), probabilities.copy()
    photo = crf(way, image)
    first = photo.marginals(probabilities)
    np.testing.assert_array_equal(first, photo.marginals(probabilities))
    np.testing.assert_array_equal(first, crf(way, image).marginals(probabilities))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(probabilities, before[1])


def test_threads_share_a_crf(way: str) -> None:
    image, probabilities = random_case(7, height=40, width=50)
    photo = crf(way, image)
    results: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: results.append(photo.marginals(probabilities))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    assert len(results) == 4
