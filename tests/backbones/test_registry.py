"""Networks by name: what is found, and what is said about what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sbnet.backbones.options import OPTIONS
from sbnet.backbones.weights import lite_path
from sbnet.errors import SBNetError
from sbnet.networks.build import build, families, model_names, network_class, outline
from sbnet.ops import label_grid


def test_names() -> None:
    assert {"sbnet-resnet38", "affinitynet-resnet38", "deeplabv2-resnet101", "sbnet-lite0"} <= set(
        model_names()
    )


def test_families_are_those_that_methods_register() -> None:
    assert {"cam", "seam", "sbnet", "affinitynet", "irn"} <= set(families())
    assert {"deeplabv2", "deeplabv3plus", "upernet", "segformer"} <= set(families())
    with pytest.raises(SBNetError, match="did you mean 'segformer'"):
        network_class("segfomer")


def test_every_option_has_its_values() -> None:
    for family in families():
        cls = network_class(family)
        types = cls.option_types()
        assert not {int, float, Any} & set(types.values()), f"{family} has an option without bounds"
        assert set(cls.own_defaults) <= set(types)
        assert not set(types) & set(OPTIONS)
        assert cls.family == family


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sbnet-lite3", {}, "did you mean 'sbnet-lite"),
        ("sbnet-lite0", {"strid": 8}, "did you mean 'stride'"),
        ("sbnet-lite0", {"freeze": 9}, "freeze=9"),
        ("sbnet-lite0", {"dropout": 2.0}, "dropout=2.0; expected less than or equal to 1"),
        ("cam-timm:resnet_18", {}, "did you mean 'resnet18'"),
        ("irn-resnet38", {"stride": 16}, "output stride 8"),
        ("deeplabv2-lite0", {"head": "x"}, "head='x'; expected 'pyramid' or 'large_fov'"),
        ("deeplabv2-lite0", {"scales": (0.5, 1)}, "the first 1, to whose size"),
        ("sbnet-lite0", {"freeze": Path("x")}, "freeze=.*not JSON serializable"),
    ],
)
def test_mistakes_found_by_an_outline(name: str, options: dict, message: str) -> None:
    outline("sbnet-lite0", stride=16, freeze=2, dilate=True)
    with pytest.raises(SBNetError, match=message):
        outline(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sbnet-resnet83", {}, "did you mean 'sbnet-resnet38'"),
        ("segnet", {}, "available: "),
        ("sbnet-lite0", {"strid": 8}, "did you mean 'stride'"),
        ("sbnet-lite0", {"weights": "non"}, "did you mean 'none'"),
        ("sbnet-lite0", {"weights": "file:absent.pth"}, "absent.pth: no such weights file"),
        ("sbnet-lite0", {"weights": "none", "freeze": 9}, "freeze=9"),
        ("sbnet-lite0", {"weights": "timm:resnet_18"}, "did you mean 'resnet18'"),
        ("sbnet-resnet38", {"weights": "timm:resnet18"}, "resnet38 is not a model of timm's"),
        ("sbnet-resnet38", {"stride": 16}, "output stride 8"),
        ("sbnet-timm:resnet_18", {}, "did you mean 'resnet18'"),
        ("sbnet-timm:resnet18", {"weights": "none", "stride": 16, "freeze": 6}, "freeze=6"),
    ],
)
def test_mistakes(name: str, options: dict, message: str) -> None:
    with pytest.raises(SBNetError, match=message):
        build(name, **options)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv3_small_100", "convnext_atto"])
@torch.no_grad()
def test_timm_backbones(backbone: str) -> None:
    network = build(f"sbnet-timm:{backbone}", 4, weights="none", stride=16).eval()
    output = network(torch.randn(1, 3, 80, 96), torch.zeros(1, 1, 80, 96))
    assert output.cam.shape == output.boundary_fused.shape == (1, 4, 80, 96)
    assert network.output_stride == 16


def test_freezing_keeps_no_graph() -> None:
    network = build("sbnet-timm:resnet18", weights="none", freeze=2)
    frozen = {name for name, value in network.backbone.named_parameters() if not value.requires_grad}
    convolutions = {name for name in frozen if "conv" in name}
    assert "net.conv1.weight" in convolutions
    assert "net.layer1.1.conv2.weight" in convolutions
    assert not any("layer2" in name for name in convolutions)
    features = network.backbone(torch.randn(1, 3, 64, 64))
    assert [feature.requires_grad for feature in features[:3]] == [False, False, True]


def test_weights_from_a_file(tmp_path: Path) -> None:
    source = build("sbnet-lite0", weights="none")
    path = tmp_path / "lite0.pth"
    for state in ({"state_dict": source.backbone.net.state_dict()}, source.state_dict()):
        torch.save(state, path)
        target = build("affinitynet-lite0", weights=f"file:{path}")
        for key, value in source.backbone.state_dict().items():
            assert torch.equal(value, target.backbone.state_dict()[key])
    with pytest.raises(SBNetError, match=f"{path}: not the weights of this backbone"):
        build("sbnet-lite2", weights=f"file:{path}")


def test_pip_weights_reach_the_network() -> None:
    network = build("sbnet-lite0")
    state = torch.load(lite_path("lite0"), weights_only=True)
    assert torch.equal(network.backbone.net.conv_head.weight, state["_conv_head.weight"])
    assert torch.equal(network.backbone.net.blocks[2][1].bn3.bias, state["_blocks.4._bn2.bias"])
    for wrong in ("lite2", "resnet38"):
        with pytest.raises(SBNetError, match="not the weights of"):
            build(f"sbnet-{wrong}", weights=f"file:{lite_path('lite0')}")


def test_weights_from_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The download is replaced by a model at hand; what is done with its weights is not."""
    import timm

    create = timm.create_model
    donor = create("resnet18", pretrained=False)

    def at_hand(name: str, *, pretrained: bool = False, **options: object) -> object:
        return donor if pretrained else create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", at_hand)
    network = build("sbnet-timm:resnet18", 4, weights="timm:resnet18", stride=16)
    torch.testing.assert_close(network.backbone.net.conv1.weight, donor.conv1.weight)
    with pytest.raises(SBNetError, match="timm:resnet18: not the weights of this backbone"):
        build("sbnet-lite0", 4, weights="timm:resnet18")


def test_a_failed_download_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    create = timm.create_model

    def offline(name: str, *, pretrained: bool = False, **options: object) -> object:
        if pretrained:
            raise OSError("no network")
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        SBNetError,
        match=r"timm:tf_efficientnet_lite0 with its weights cannot be built .*no network.*file:PATH",
    ):
        build("sbnet-lite0", 4, weights="timm:tf_efficientnet_lite0")


@pytest.mark.parametrize("backbone", ["timm:convnext_atto", "timm:resnet18", "lite0"])
@pytest.mark.parametrize("stride", [8, 16])
def test_grids_of_odd_sizes_are_rounded_up(backbone: str, stride: int) -> None:
    """As the label grid, the pairs and the walks count their cells; ConvNeXt's own would be rounded down."""
    image, label = torch.randn(1, 3, 65, 97), torch.zeros(1, 65, 97, dtype=torch.uint8)
    with torch.no_grad():
        cam = build(f"sbnet-{backbone}", 4, weights="none", stride=stride).eval()
        output = cam(image, torch.zeros(1, 1, 65, 97))
        assert output.cam.shape == output.refined_cam.shape == output.boundary_fused.shape == (1, 4, 65, 97)
        affinity = build(f"affinitynet-{backbone}", 4, weights="none", stride=stride).eval()
        grid = label_grid(label, stride=affinity.output_stride, classes=4)
        assert affinity(image).features.shape[2:] == grid.shape[1:]
        irn = build(f"irn-{backbone}", 4, weights="none", stride=stride).eval()
        assert irn(image).boundary.shape == label_grid(label, stride=4, classes=4).shape == (1, 17, 25)
        segmenter = build(f"deeplabv2-{backbone}", 4, weights="none", stride=stride).eval()
        assert segmenter(image).logits.shape == (1, 4, -(-65 // stride), -(-97 // stride))
