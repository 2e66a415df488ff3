"""The CAM network's losses against the golden numbers, plain formulas, and their switches."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sbnet import losses
from sbnet.losses import TwoViews, structure_aware
from sbnet.losses.consistency import classification, common_frame, enlarged_mean, min_pool
from sbnet.losses.structure_aware import boundary_entropy, roughness
from sbnet.losses.two_views import Present, resized
from sbnet.ops.cam import max_only, with_background

RAW = ("cam1", "cam_rv1", "edge1", "cam2", "cam_rv2", "edge2")


def reference_terms(numbers):
    def mean(name):
        return (float(numbers[f"value_{name}1"]) + float(numbers[f"value_{name}2"])) / 2

    named = {"equivariance": "er", "cross": "ecr", "boundary": "ct"}
    terms = {term: float(numbers[f"value_loss_{name}"]) for term, name in named.items()}
    terms |= {"class": mean("loss_cls"), "min_pool": mean("loss_rvmin")}
    return terms | {"smoothness": float(numbers["value_smoothness_loss"])}


@pytest.mark.parametrize("seed", [0, 1])
def test_reference_values_and_gradients(golden, seed):
    numbers = golden.load("sb_losses", seed)
    raw = [torch.from_numpy(numbers[name]).requires_grad_() for name in RAW]
    boundaries = torch.from_numpy(numbers["boundary"]).float()
    found = structure_aware(raw[:3], raw[3:], torch.from_numpy(numbers["label"]), boundaries)
    total = sum(found.values())
    assert total.item() == pytest.approx(float(numbers["value_loss"]), rel=1e-5)
    expected = reference_terms(numbers)
    assert set(found) == set(expected)
    for term, value in found.items():
        assert value.item() == pytest.approx(expected[term], rel=1e-5), term
    total.backward()
    for name, tensor in zip(RAW, raw, strict=True):
        gradient = numbers[f"grad_{name}"]
        np.testing.assert_allclose(tensor.grad, gradient, rtol=0, atol=1e-4 * np.abs(gradient).max())


@pytest.mark.parametrize("seed", [0, 1])
def test_reference_values_of_each_view(golden, seed):
    numbers = golden.load("sb_losses", seed)
    labels, boundaries = torch.from_numpy(numbers["label"]), torch.from_numpy(numbers["boundary"]).float()
    present = Present.of(labels)
    framed = []
    for view in ("1", "2"):
        cam, refined, edge = (torch.from_numpy(numbers[name + view]) for name in ("cam", "cam_rv", "edge"))
        size = cam.shape[-2:]
        maps, refined_maps = present.select(cam), present.select(refined)
        targets = resized(present.select(boundaries), size)
        found = {
            "loss_cls": classification(cam, labels, size),
            "loss_rvmin": min_pool(refined_maps, present),
            "loss_ct_": boundary_entropy(edge, targets, present),
            "smoothness_loss_": roughness(maps, targets, present),
        }
        for name, value in found.items():
            assert value.item() == pytest.approx(float(numbers[f"value_{name}{view}"]), rel=1e-5), name + view
        frame = numbers["cam2"].shape[-2:]
        framed.append([common_frame(each, frame, present) for each in (maps, refined_maps)])
    targets = [max_only(with_background(cam)) for cam, _ in framed]
    for view, target, (_, refined) in (("1", targets[1], framed[0]), ("2", targets[0], framed[1])):
        hardest = (target - refined).abs().flatten(1)
        mean = hardest.topk(int(hardest.shape[1] * 0.2)).values.mean().item()
        assert mean == pytest.approx(float(numbers[f"value_loss_ecr{view}"]), rel=1e-5), view


def example(classes=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    views = [[torch.randn(3, classes, *size, generator=generator, dtype=dtype) for _ in range(3)]
             for size in ((10, 12), (3, 4))]  # fmt: skip
    labels = torch.zeros(3, classes - 1)
    labels[0, 0] = labels[1, 0] = labels[1, 2] = 1  # the third image has no class
    return views, labels, torch.rand(3, classes, 10, 12, generator=generator, dtype=dtype)


def test_any_number_of_classes_and_named_outputs():
    views, labels, boundaries = example()
    plain = structure_aware(*views, labels, boundaries)
    names = ("cam", "refined_cam", "boundary_fused")
    named = [SimpleNamespace(**dict(zip(names, view, strict=True))) for view in views]
    for term, value in structure_aware(*named, labels, boundaries).items():
        assert torch.equal(value, plain[term])
        assert value.isfinite()


def test_cams_that_are_still_to_be_enlarged():
    """From the grid with its size: the losses and gradients of the enlarged maps."""
    views, labels, boundaries = example()
    sizes, grids = ((10, 12), (3, 4)), ((4, 5), (2, 2))
    found, expected = [], []
    for view, size, grid in zip(views, sizes, grids, strict=True):
        cam, refined = (torch.randn(3, 4, *grid, dtype=torch.float64, requires_grad=True) for _ in range(2))
        fused = view[2]
        enlarged = [F.interpolate(maps, size, mode="bilinear", align_corners=True) for maps in (cam, refined)]
        found.append(SimpleNamespace(cam=cam, refined_cam=refined, boundary_fused=fused, size=size))
        expected.append((*enlarged, fused))
    there, here = (structure_aware(*given, labels, boundaries) for given in (expected, found))
    leaves = [maps for view in found for maps in (view.cam, view.refined_cam)]
    for term, value in here.items():
        torch.testing.assert_close(value, there[term])
    gradients = [torch.autograd.grad(sum(terms.values()), leaves) for terms in (here, there)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("size", [(1, 1), (9, 5), (30, 41), (4, 5)])
def test_mean_of_enlarged_maps(size):
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    enlarged = F.interpolate(maps, size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(enlarged_mean(maps, size), enlarged.mean((-2, -1)))


def test_gradients():
    """Of all terms but "cross", whose target carries none; the golden gradients cover it."""
    views, labels, boundaries = example()
    raw = [tensor.requires_grad_() for view in views for tensor in view]

    def total(*values):
        terms = structure_aware(values[:3], values[3:], labels, boundaries)
        return sum(value for term, value in terms.items() if term != "cross")

    assert torch.autograd.gradcheck(total, raw, fast_mode=True)


def test_each_loss_alone():
    """Bit-equal to the term in the whole, whatever is asked for first."""
    views, labels, boundaries = example()
    every = structure_aware(*views, labels, boundaries, boundary_weight=1)
    assert torch.equal(losses.smoothness(TwoViews(*views, labels, boundaries)), every["smoothness"])
    assert torch.equal(losses.boundary(TwoViews(*views, labels, boundaries)), every["boundary"])
    without = [(cam, refined, None) for cam, refined, _ in views]
    for term, value in losses.consistency(TwoViews(*without, labels)).items():
        assert torch.equal(value, every[term])
    plain = losses.classification(views[0][0], labels, (10, 12))
    expected = F.multilabel_soft_margin_loss(views[0][0].mean((2, 3))[:, 1:], labels.double())
    torch.testing.assert_close(plain, expected)


def test_weights_scale_their_terms():
    views, labels, boundaries = example()
    one = structure_aware(*views, labels, boundaries)
    other = structure_aware(*views, labels, boundaries, boundary_weight=0.02, smoothness_weight=3)
    torch.testing.assert_close(other["boundary"], 2 * one["boundary"])
    torch.testing.assert_close(other["smoothness"], 3 * one["smoothness"])


def test_float32_under_autocast():
    views, labels, boundaries = example(dtype=torch.float32)
    half = [[tensor.to(torch.bfloat16) for tensor in view] for view in views]
    raised = [[tensor.float() for tensor in view] for view in half]
    expected = structure_aware(*raised, labels, boundaries)
    with torch.autocast("cpu", torch.bfloat16):
        found = structure_aware(*half, labels, boundaries)
    for term, value in found.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[term])


def test_smoothness_by_convolution():
    """Every map, absent classes masked, with the filters spelt out."""
    (view, _), labels, boundaries = example()
    cam, (b, c, h, w) = view[0], view[0].shape
    sobel = torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]).double()
    laplacian = torch.full((3, 3), -1.0).double()
    laplacian[1, 1] = 8
    change = [
        F.conv2d(cam.sigmoid().reshape(-1, 1, h, w), kernel[None, None], padding=1).reshape(b, c, h, w).abs()
        for kernel in (sobel, sobel.T, laplacian)
    ]
    first_x, first_y, second = (
        torch.sqrt((values * torch.exp(-10 * boundaries)) ** 2 + 1e-6) for values in change
    )
    label = F.pad(labels, (1, 0), value=1.0)[:, :, None, None]
    expected = 10 * ((first_x + first_y) * label).mean() + (second * label).mean()
    present = Present.of(labels)
    found = roughness(present.select(cam), present.select(boundaries), present)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (7, 9)])
def test_smoothness_gradient(size):
    """Also where a map is a pixel, a row or a column."""
    torch.manual_seed(0)
    cam, boundaries = torch.randn(3, *size, dtype=torch.float64), torch.rand(3, *size, dtype=torch.float64)
    present = Present(torch.tensor([0, 1, 3]), (2, 1), 2)
    assert torch.autograd.gradcheck(
        lambda maps: roughness(maps, boundaries, present), cam.requires_grad_(), atol=1e-7
    )


def test_min_pool_by_sorting():
    (view, _), labels, _ = example()
    masked = (view[1] * F.pad(labels, (1, 0), value=1.0)[:, :, None, None])[:, 1:]
    smallest = masked.amax(1).flatten(1).sort().values[:, : 10 * 12 // 4]
    present = Present.of(labels)
    torch.testing.assert_close(min_pool(present.select(view[1]), present), smallest.relu().mean())


@pytest.mark.parametrize("loss", [losses.boundary, losses.smoothness])
def test_missing_boundary_maps_are_named(loss):
    views, labels, _ = example()
    with pytest.raises(ValueError, match="boundary maps"):
        loss(TwoViews(*views, labels))


def test_missing_boundary_head_is_named():
    (full, small), labels, boundaries = example()
    with pytest.raises(ValueError, match="boundary head"):
        losses.boundary(TwoViews((*full[:2], None), small, labels, boundaries))
