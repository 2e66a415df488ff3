"""IRN's heads over several backbones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sbnet.backbones.base import Backbone
from sbnet.backbones.normalization import IMAGENET
from sbnet.errors import SBNetError
from sbnet.methods.irn.network import IrnNetwork
from sbnet.networks.build import build
from sbnet.networks.model_file import load_model, save_model


def irn(backbone: str, **options: object) -> IrnNetwork:
    torch.manual_seed(0)
    network = build(f"irn-{backbone}", 5, weights="none", **options)
    assert isinstance(network, IrnNetwork)
    return network


@pytest.mark.parametrize("backbone", ["lite0", "timm:resnet18", "timm:convnext_atto", "resnet38"])
@torch.no_grad()
def test_the_grid_has_stride_4(backbone: str) -> None:
    output = irn(backbone).eval()(torch.randn(2, 3, 64, 96))
    assert output.boundary.shape == (2, 16, 24)
    assert output.displacement.shape == (2, 2, 16, 24)


def test_odd_sizes() -> None:
    output = irn("lite0")(torch.randn(1, 3, 70, 101))
    assert output.boundary.shape == (1, 18, 26)
    assert output.displacement.shape == (1, 2, 18, 26)


def test_layers_over_resnet50_are_the_reference_s() -> None:
    """Its weights' shapes: boundary 5 x 32 channels and one; displacement 64, 128, 3 x 256, 256, 256 and two."""
    network = irn("timm:resnet50", stride=16)
    assert network.backbone.channels == (64, 256, 512, 1024, 2048)
    convolutions = {
        head: [
            (module.out_channels, module.in_channels, module.bias is not None)
            for module in network.get_submodule(head).modules()
            if isinstance(module, torch.nn.Conv2d)
        ]
        for head in ("boundary_head", "displacement_head")
    }
    sources = (64, 256, 512, 1024, 2048)
    assert convolutions["boundary_head"] == [(32, source, False) for source in sources] + [(1, 160, True)]
    targets = (64, 128, 256, 256, 256)
    assert convolutions["displacement_head"] == [
        *((target, source, False) for target, source in zip(targets, sources, strict=True)),
        (256, 768, False),
        (256, 448, False),
        (2, 256, False),
    ]


def test_only_the_heads_learn() -> None:
    network = irn("resnet38")
    groups = [[name for name, _ in group] for group in network.parameter_groups()]
    assert all(name.startswith("boundary_head.") for group in groups[:2] for name in group)
    assert all(name.startswith("displacement_head.") for group in groups[2:] for name in group)
    assert network.train().boundary_head.training
    assert not any(module.training for module in network.backbone.modules()), "its dropout would be on"
    output = network(torch.randn(1, 3, 32, 32))
    (output.boundary.sum() + output.displacement.sum()).backward()
    assert all(value.grad is None for value in network.backbone.parameters())
    assert all(value.grad is not None for group in network.parameter_groups() for _, value in group)


@torch.no_grad()
def test_a_saved_network_comes_back(tmp_path: Path) -> None:
    network = irn("timm:resnet18", stride=16, radius=7)
    save_model(network, tmp_path / "model.safetensors", meta={})
    again, _ = load_model(tmp_path / "model.safetensors")
    assert isinstance(again, IrnNetwork)
    assert again.radius == 7
    images = torch.randn(1, 3, 64, 64)
    for before, after in zip(network.eval()(images), again(images), strict=True):
        assert torch.equal(before, after)


class Coarse(Backbone):
    channels, strides, stages, normalization = (8, 8), (8, 16), (0, 1), IMAGENET


def test_a_backbone_without_stride_4_is_refused() -> None:
    with pytest.raises(SBNetError, match=r"feature at stride 4 .* strides 8, 16; choose another backbone"):
        IrnNetwork(Coarse())
