"""Networks over a small backbone: shapes, what is computed, what is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sbnet.backbones.network import Network
from sbnet.backbones.normalization import CAFFE, IMAGENET
from sbnet.backbones.resnet38 import ResNet38
from sbnet.errors import SBNetError
from sbnet.methods.cam.network import CamNetwork
from sbnet.methods.sbnet.boundary_head import BoundaryHead
from sbnet.methods.sbnet.network import SBNetwork, boundary_sources
from sbnet.networks.build import build, build_backbone
from sbnet.networks.model_file import load_model, save_model
from sbnet.ops.pixel_correlation import resize
from sbnet.segmenters.deeplabv2.network import DeepLab, LargeFieldOfView

SIZE = (70, 102)


@pytest.fixture(scope="module")
def cam_network() -> SBNetwork:
    torch.manual_seed(0)
    network = build("sbnet-lite0", 6, weights="none", freeze=2)
    assert isinstance(network, SBNetwork)
    return network


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def test_cam_shapes(cam_network: SBNetwork, images: torch.Tensor) -> None:
    canny = torch.zeros(2, 1, *SIZE, dtype=torch.uint8)
    output = cam_network(images, canny)
    assert output.cam.shape == output.refined_cam.shape == output.boundary_fused.shape == (2, 6, *SIZE)
    assert output.boundary_logits.shape[:2] == (2, 6)
    assert output.cam.requires_grad
    assert output.refined_cam.requires_grad


def test_parts_are_spared(cam_network: SBNetwork, images: torch.Tensor) -> None:
    output = cam_network(images, refine=False)
    assert output.boundary_logits is None
    assert output.boundary_fused is None
    assert output.refined_cam is output.cam


@pytest.mark.parametrize(
    ("family", "heads"),
    [
        ("cam", {"fc8"}),
        ("seam", {"fc8", "f8_3", "f8_4", "f9"}),
        ("sbnet", {"fc8", "f8_3", "f8_4", "f9", "edge_layer", "fuse_canny_edge"}),
    ],
)
def test_each_family_has_its_layers(family: str, heads: set[str], images: torch.Tensor) -> None:
    network = build(f"{family}-lite0", 6, weights="none")
    assert isinstance(network, CamNetwork)
    assert network.family == family
    assert {name.partition(".")[0] for name in network.state_dict()} == {"backbone", *heads}
    output = network(images)
    assert (output.refined_cam is output.cam) == (family == "cam")
    assert hasattr(output, "boundary_fused") == (family == "sbnet")
    assert output.size == SIZE


def test_order_of_random_draws() -> None:
    """All layers are made, in this order, before the initial weights are drawn."""
    torch.manual_seed(0)
    network = build("sbnet-lite0", 6, weights="none")
    torch.manual_seed(0)
    backbone = build_backbone("lite0", weights="none")
    first, second = (backbone.channels[index] for index in backbone.last(3)[:2])
    classifier = nn.Conv2d(backbone.channels[-1], 6, 1, bias=False)
    parts = [nn.Conv2d(first, 64, 1, bias=False), nn.Conv2d(second, 128, 1, bias=False)]
    mixed = nn.Conv2d(195, 192, 1, bias=False)
    BoundaryHead(tuple(backbone.channels[index] for index in boundary_sources(backbone)), 6, channels=16)
    nn.Conv2d(12, 6, 1, bias=False)
    nn.init.xavier_uniform_(classifier.weight)
    for part in parts:
        nn.init.kaiming_normal_(part.weight)
    nn.init.xavier_uniform_(mixed.weight, gain=4)
    for layer, expected in zip(("fc8", "f8_3", "f8_4", "f9"), (classifier, *parts, mixed), strict=True):
        assert torch.equal(network.get_submodule(layer).weight, expected.weight), layer


@torch.no_grad()
def test_cams_on_the_grid(cam_network: SBNetwork, images: torch.Tensor) -> None:
    cam_network.eval()
    enlarged, grid = (cam_network(images, enlarge=enlarge) for enlarge in (True, False))
    cam_network.train()
    assert grid.cam.shape[-2:] == (-(-SIZE[0] // 16), -(-SIZE[1] // 16))
    assert grid.size == enlarged.size == SIZE
    assert torch.equal(resize(grid.cam, SIZE), enlarged.cam)
    assert torch.equal(resize(grid.refined_cam, SIZE), enlarged.refined_cam)


@torch.no_grad()
def test_fusion_is_the_convolution(cam_network: SBNetwork) -> None:
    logits, canny = torch.randn(2, 6, 9, 7), 255.0 * torch.randint(0, 2, (2, 1, 30, 20))
    both = torch.cat([resize(logits, (30, 20)), canny.expand(-1, 6, -1, -1) * cam_network.canny_scale], dim=1)
    expected = cam_network.fuse_canny_edge(both)
    torch.testing.assert_close(cam_network._fuse(logits, canny), expected, rtol=1e-4, atol=1e-5)


def test_pixel_correlation_sends_nothing_to_the_backbone(
    cam_network: SBNetwork, images: torch.Tensor
) -> None:
    cam_network.zero_grad()
    cam_network(images).refined_cam.sum().backward()
    touched = {name for name, value in cam_network.named_parameters() if value.grad is not None}
    assert touched == {"f8_3.weight", "f8_4.weight", "f9.weight"}


@pytest.mark.parametrize("name", ["sbnet-lite0", "affinitynet-lite0", "deeplabv2-lite0"])
def test_training_mode_and_groups(name: str) -> None:
    network = build(name, 6, weights="none", freeze=2).train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert network.training
    groups = network.parameter_groups()
    names = [name for group in groups for name, _ in group]
    assert sorted(names) == sorted(key for key, value in network.named_parameters() if value.requires_grad)
    assert not any(
        "bn" in key or "conv_stem" in key or "blocks.0" in key or "blocks.1" in key for key in names
    )
    assert all(key.startswith("backbone.") for group in groups[:2] for key, _ in group)
    assert not any(key.startswith("backbone.") for group in groups[2:] for key, _ in group)
    assert all(key.endswith("bias") for key, _ in groups[1] + groups[3])


def test_boundary_head_may_train_as_pretrained() -> None:
    network = build("sbnet-lite0", weights="none", boundary_is_new=False)
    assert [name for name, _ in network.parameter_groups()[2]] == [
        "fc8.weight",
        "f8_3.weight",
        "f8_4.weight",
        "f9.weight",
    ]


@pytest.mark.parametrize(("stride", "size"), [(8, (9, 13)), (16, (9, 13))])
@torch.no_grad()
def test_affinity_grid_is_an_eighth(stride: int, size: tuple[int, int], images: torch.Tensor) -> None:
    network = build("affinitynet-lite0", weights="none", stride=stride).eval()
    output = network(images)
    assert network.output_stride == 8
    assert output.features.shape == (2, 448, *size)
    assert output.affinity.shape == (2, 22, (9 - 3) * (13 - 6))  # radius 4 on 9 rows
    assert 0 < output.affinity.min() <= output.affinity.max() <= 1


@torch.no_grad()
def test_deeplab_scales(images: torch.Tensor) -> None:
    network = build("deeplabv2-lite0", 5, weights="none").eval()
    assert isinstance(network, DeepLab)
    single = network(images)
    assert single.logits.shape == (2, 5, 5, 7)
    assert len(single.supervised) == 1
    network.scales = (1.0, 0.5)
    double = network(images)
    smaller = F.interpolate(double.per_scale[1], size=(5, 7), mode="bilinear")
    torch.testing.assert_close(double.logits, torch.maximum(double.per_scale[0], smaller))
    torch.testing.assert_close(double.per_scale[0], single.logits)
    assert len(double.supervised) == 3


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3)])
def test_photos_of_a_pixel_have_scales_too(size: tuple[int, int]) -> None:
    network = build("deeplabv2-lite0", 5, weights="none", scales=(1.0, 0.5, 0.05)).eval()
    found = network(torch.randn(1, 3, *size))
    assert found.logits.isfinite().all()
    assert len(found.per_scale) == 3


def test_deeplab_dilations_follow_the_stride() -> None:
    rates = {stride: _rates(build("deeplabv2-lite0", weights="none", stride=stride)) for stride in (8, 16)}
    assert rates == {8: [6, 12, 18, 24], 16: [3, 6, 9, 12]}


@torch.no_grad()
def test_large_field_of_view(images: torch.Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("deeplabv2-lite0", 5, weights="none", stride=8, head="large_fov").eval()
    assert isinstance(network, DeepLab)
    first, second, last = (layer for layer in network.fov if isinstance(layer, nn.Conv2d))
    assert (first.dilation, first.padding, first.weight.shape[0]) == ((12, 12), (12, 12), 512)
    feature = network.backbone(images)[-1]
    hidden = F.relu(F.group_norm(F.conv2d(feature, first.weight, padding=12, dilation=12), 64))
    hidden = F.relu(F.group_norm(F.conv2d(hidden, second.weight), 64))
    torch.testing.assert_close(network(images).logits, F.conv2d(hidden, last.weight, last.bias))
    pretrained, _, new, biases = ([name for name, _ in group] for group in network.parameter_groups())
    assert all(name.startswith("fov.") for name in (*new, *biases))
    assert not any(name.startswith("fov.") for name in pretrained)
    assert len(new) + len(biases) == len(list(network.fov.parameters()))
    save_model(network, tmp_path / "model.safetensors", meta={})
    again, _ = load_model(tmp_path / "model.safetensors")
    torch.testing.assert_close(again.eval()(images).logits, network(images).logits)
    halved = build("deeplabv2-lite0", weights="none", stride=16, head="large_fov")
    assert halved.fov[0].dilation == (6, 6)


def test_large_field_of_view_over_resnet38_has_seams_shapes() -> None:
    with torch.device("meta"):
        head = LargeFieldOfView(ResNet38.channels[-1], 21)
    convolutions = [tuple(layer.weight.shape) for layer in head if isinstance(layer, nn.Conv2d)]
    assert convolutions == [(512, 4096, 3, 3), (512, 512, 1, 1), (21, 512, 1, 1)]


def test_a_head_that_is_none() -> None:
    with pytest.raises(SBNetError, match=r"deeplabv2-lite0: head='larg_fov'.*pyramid.*large_fov"):
        build("deeplabv2-lite0", weights="none", head="larg_fov")


def _rates(network: Network) -> list[int]:
    return [layer.dilation[0] for layer in network.aspp.children()]


@torch.no_grad()
def test_bfloat16_keeps_the_correlation_exact(cam_network: SBNetwork, images: torch.Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = cam_network(images)
    assert output.refined_cam.dtype == torch.float32
    assert output.refined_cam.isfinite().all()


def test_normalization() -> None:
    photo = torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1)
    torch.testing.assert_close(
        CAFFE(photo).flatten(), torch.tensor([30 - 104.008, 20 - 116.669, 10 - 122.675])
    )
    expected = (torch.tensor([10, 20, 30]) / 255 - torch.tensor(IMAGENET.mean)) / torch.tensor(IMAGENET.std)
    torch.testing.assert_close(IMAGENET(photo).flatten(), expected)
    assert photo.dtype == torch.uint8
