"""The contract of backbones: what every one answers, and which features the heads choose."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.normalization import IMAGENET
from sbnet.errors import SBNetError
from sbnet.methods.sbnet.network import boundary_sources
from sbnet.networks.build import build, build_backbone

CNNS = ("lite0", "timm:resnet18", "timm:convnext_atto", "timm:mobilenetv3_small_100", "timm:test_convnext")
VITS = ("timm:test_vit", "timm:test_vit4", "timm:deit_tiny_distilled_patch16_224")
RESNETS = ("resnet38", "resnet101")


@functools.cache
def made(name: str) -> Backbone:
    torch.manual_seed(0)
    return build_backbone(name, weights="none").eval()


@pytest.mark.parametrize("name", [*CNNS, *VITS, *RESNETS])
@torch.no_grad()
def test_what_every_backbone_answers(name: str) -> None:
    backbone, images = made(name), torch.randn(1, 3, 50, 70)
    features = backbone(images)
    assert [feature.shape[1] for feature in features] == list(backbone.channels)
    assert len(features) == len(backbone.strides) == backbone.deepest + 1
    for feature, stride in zip(features, backbone.strides, strict=True):
        for side, cells in zip(images.shape[2:], feature.shape[2:], strict=True):
            assert cells == -(-side // stride) or (name == "resnet101" and cells == -(-side // stride) + 1)
    assert list(backbone.strides) == sorted(backbone.strides)
    assert backbone.stages[-1] == backbone.deepest
    assert list(backbone.stages) == sorted(set(backbone.stages))
    for stride in set(backbone.strides):
        index = backbone.at(stride)
        assert backbone.strides[index] == stride
        assert stride not in backbone.strides[index + 1 :]


@pytest.mark.parametrize("name", [*CNNS, *VITS, *RESNETS])
@torch.no_grad()
def test_a_wanted_feature_is_the_same_alone(name: str) -> None:
    backbone, images = made(name), torch.randn(1, 3, 50, 70)
    features = backbone(images)
    for index, feature in enumerate(features):
        (alone,) = backbone(images, [index])
        assert torch.equal(alone, feature), index
    backwards = range(backbone.deepest, -1, -2)
    for index, found in zip(backwards, backbone(images, backwards), strict=True):
        assert torch.equal(found, features[index])


@pytest.mark.parametrize(
    ("name", "wanted", "spared"),
    [
        ("lite0", 2, "net.blocks.5.0"),
        ("lite0", 4, "net.conv_head"),
        ("timm:resnet18", 2, "net.layer3"),
        ("timm:test_vit", 2, "net.blocks.3"),
        ("resnet38", 3, "b5"),
        ("resnet38", 5, "b7"),
        ("resnet101", 1, "layer3"),
    ],
)
@torch.no_grad()
def test_nothing_deeper_is_computed(name: str, wanted: int, spared: str) -> None:
    backbone = made(name)
    ran: list[nn.Module] = []
    hook = backbone.get_submodule(spared).register_forward_hook(lambda module, *_: ran.append(module))
    backbone(torch.randn(1, 3, 32, 32), [wanted])
    assert not ran
    backbone(torch.randn(1, 3, 32, 32))
    assert ran
    hook.remove()


@pytest.mark.parametrize(
    ("name", "stages", "boundaries"),
    [  # as the published networks have them; over others each of the last four stages
        ("resnet38", (2, 3, 4, 6), (0, 2, 4, 5)),
        ("resnet101", (1, 2, 3, 4), (0, 1, 3, 4)),
        ("lite0", (1, 2, 3, 5), (1, 2, 3, 5)),
        ("timm:resnet18", (1, 2, 3, 4), (1, 2, 3, 4)),
        ("timm:convnext_atto", (0, 1, 2, 3), (0, 1, 2, 3)),
        ("timm:mobilenetv3_small_100", (1, 2, 3, 4), (1, 2, 3, 4)),
        ("timm:deit_tiny_distilled_patch16_224", (2, 5, 8, 11), (2, 5, 8, 11)),
        ("timm:test_vit", (0, 2, 3, 5), (0, 2, 3, 5)),
    ],
)
def test_the_chosen_features(name: str, stages: tuple[int, ...], boundaries: tuple[int, ...]) -> None:
    backbone = made(name)
    assert backbone.last(4) == stages
    assert boundary_sources(backbone) == boundaries


class Coarse(Backbone):
    channels, strides, stages, normalization = (8, 8), (8, 16), (0, 1), IMAGENET

    def forward(self, images: Tensor, want: object = None) -> list[Tensor]:
        raise AssertionError("not called")


def test_what_a_backbone_lacks() -> None:
    backbone = Coarse()
    assert (backbone.deepest, backbone.at(8), backbone.last(1)) == (1, 0, (1,))
    with pytest.raises(SBNetError, match=r"no feature at stride 4: .* strides 8, 16"):
        backbone.at(4)
    with pytest.raises(SBNetError, match=r"3 stages are required: this backbone has 2.* 8, 16"):
        backbone.last(3)
    for asked in (
        lambda: backbone.tokens((16, 16)),
        lambda: backbone.forward_tokens(torch.zeros(1, 3, 8, 8)),
    ):
        with pytest.raises(SBNetError, match=r"not a transformer.*timm:vit_small_patch16_224"):
            asked()


def test_only_transformers_have_tokens() -> None:
    assert made("lite0").prefix == 0
    assert made("lite0").attention is None
    with pytest.raises(SBNetError, match="not a transformer"):
        made("lite0").forward_tokens(torch.zeros(1, 3, 8, 8))


def test_published_values_over_published_backbones_alone() -> None:
    assert made("resnet38").published
    assert not made("lite0").published
    assert build("affinitynet-lite0", weights="none").options == {"gain": 1.0}
    assert build("affinitynet-resnet101", weights="none").options == {}
