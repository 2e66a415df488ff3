"""ResNet-38's and ResNet-101's networks against numbers measured on the reference implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sbnet.backbones.network import Network
from sbnet.compat.reference import load_reference
from sbnet.networks.build import build

SEEDS = (0, 1)
TOLERANCE = 1e-4  # of the range


def assert_close(actual: torch.Tensor, expected: NDArray[np.float32]) -> None:
    assert tuple(actual.shape) == expected.shape
    worst = np.abs(actual.numpy() - expected).max() / (expected.max() - expected.min())
    assert worst < TOLERANCE


@pytest.fixture(scope="module")
def cam_network() -> Network:
    return build("sbnet-resnet38").eval()


@pytest.fixture(scope="module")
def affinity_network() -> Network:
    return build("affinitynet-resnet38").eval()


@pytest.fixture(scope="module")
def deeplab() -> Network:
    return build("deeplabv2-resnet101").eval()


@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_cam_network(golden, cam_network: Network, seed: int) -> None:
    load_reference(cam_network, golden.state("sbnet", seed))
    expected = golden.load("sbnet_forward", seed)
    images = cam_network.normalization(torch.from_numpy(expected["image"]))
    output = cam_network(images, torch.from_numpy(expected["canny"]))
    kept = cam_network.backbone(images)
    assert_close(output.cam, expected["cam"])
    assert_close(output.refined_cam, expected["cam_rv"])
    assert_close(output.boundary_logits[..., ::4, ::4], expected["boundary_logits"])
    assert_close(output.boundary_fused[..., ::4, ::4], expected["boundary_fused"])
    table = golden.load("sbnet_features", seed)
    for feature, (mean, magnitude, deviation, shape) in zip(kept, table.values(), strict=True):
        assert list(feature.shape) == shape
        feature = feature.double()
        found = [feature.mean().item(), feature.abs().mean().item(), feature.std().item()]
        np.testing.assert_allclose(found, [mean, magnitude, deviation], rtol=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_parameter_groups(golden, cam_network: Network, seed: int) -> None:
    expected = golden.load("sbnet_parameter_groups", seed)
    groups = cam_network.parameter_groups()
    assert [{name.removeprefix("backbone.") for name, _ in group} for group in groups] == [
        set(names) for names in expected
    ]


def test_every_reference_name(
    golden, cam_network: Network, affinity_network: Network, deeplab: Network
) -> None:
    for name, network in (("sbnet", cam_network), ("affinitynet", affinity_network), ("deeplabv2", deeplab)):
        expected = {
            key.removeprefix("base."): tuple(shape) for key, shape in golden.load(f"{name}_state", 0).items()
        }
        own = {
            key.removeprefix("backbone."): tuple(value.shape) for key, value in network.state_dict().items()
        }
        assert own == expected


@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_affinity_network(golden, affinity_network: Network, seed: int) -> None:
    load_reference(affinity_network, golden.state("affinitynet", seed))
    expected = golden.load("affinitynet", seed)
    images = affinity_network.normalization(torch.from_numpy(expected["image"]))
    np.testing.assert_allclose(affinity_network(images).affinity, expected["affinity"], rtol=0, atol=1e-6)
    small = affinity_network(images[..., :72, :88])
    np.testing.assert_allclose(small.affinity, expected["affinity_small"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_deeplab(golden, deeplab: Network, seed: int) -> None:
    load_reference(deeplab, golden.state("deeplabv2", seed))
    expected = golden.load("deeplabv2", seed)
    output = deeplab(torch.from_numpy(expected["input"]))
    assert_close(output.logits, expected["logits"])
    assert_close(output.per_scale[0], expected["logits_single"])
    assert [tuple(logits.shape[2:]) for logits in output.per_scale] == [(13, 15), (7, 8), (10, 11)]
    assert len(output.supervised) == 4
