"""DeepLab v3+, UPerNet and SegFormer over our backbones: what is computed, what is trained, what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sbnet.backbones.weights import lite_path
from sbnet.engine.runtime import Runtime
from sbnet.engine.views import inference_network
from sbnet.errors import SBNetError
from sbnet.losses import multi_scale_cross_entropy
from sbnet.networks.build import build
from sbnet.networks.model_file import load_model, save_model
from sbnet.segmenters.segmenter import Segmenter

FAMILIES = ("deeplabv3plus", "upernet", "segformer")
CLASSES = 5


def make(family: str, **options: object) -> Segmenter:
    torch.manual_seed(0)
    network = build(f"{family}-lite0", CLASSES, **{"weights": "none", "channels": 32, **options})
    assert isinstance(network, Segmenter)
    return network


@pytest.fixture(scope="module", params=FAMILIES)
def network(request: pytest.FixtureRequest) -> Segmenter:
    """No test of those that take it changes it for good."""
    return make(request.param, freeze=2).eval()


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90))
@torch.no_grad()
def test_any_size_answers_pixel_by_pixel(network: Segmenter, height: int, width: int) -> None:
    images = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height))
    output = network(images)
    assert output.logits.shape == (1, CLASSES, height, width)
    assert output.supervised == (output.logits,)
    assert output.logits.isfinite().all()


@torch.no_grad()
def test_an_odd_size_is_the_padded_photo_cut(network: Segmenter) -> None:
    images = torch.randn(2, 3, 41, 70)
    padded = F.pad(images, (0, 80 - 70, 0, 48 - 41))
    torch.testing.assert_close(network(images).logits, network(padded).logits[..., :41, :70])


@torch.no_grad()
def test_pixels_stay_where_they_are(network: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grid and photo share their outer edges: what the decoder says of cell k is said of pixels 4k to 4k + 3."""
    cells = torch.arange(12.0).expand(1, 32, 8, 12)
    monkeypatch.setattr(network.decoder, "forward", lambda _features: cells)
    logits = network(torch.zeros(1, 3, 32, 45)).logits[0, 0, 0]
    places = ((torch.arange(45) + 0.5) / 4 - 0.5).clamp(0, 11)
    expected = network.classifier.weight[0].sum() * places + network.classifier.bias[0]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_four_features_are_read(network: Segmenter) -> None:
    """At strides 4, 8, 16 and, the last stride taken away, 16; at stride 2 nothing, as in SegFormer."""
    images = torch.randn(1, 3, 64, 48)
    taken: list[list[torch.Tensor]] = []
    hook = network.decoder.register_forward_pre_hook(lambda _module, given: taken.append(list(given[0])))
    network(images)
    hook.remove()
    features = network.backbone(images)
    shapes = [tuple(feature.shape[1:]) for feature in taken[0]]
    assert shapes == [(3, 64, 48), (0, 32, 24), (24, 16, 12), (40, 8, 6), (112, 4, 3), (1280, 4, 3)]
    for feature, index in zip(taken[0][2:], network.backbone.last(4), strict=True):
        torch.testing.assert_close(feature, features[index])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_backbone_has_imagenets_weights(family: str) -> None:
    network = make(family, weights="auto")
    expected = torch.load(lite_path("lite0"), weights_only=True)
    own = network.backbone.net.state_dict()
    assert len(own) > 200
    for value, theirs in zip(
        own.values(), expected.values(), strict=False
    ):  # theirs ends with the classifier
        assert torch.equal(value, theirs)
    assert network.normalization.mean == network.normalization.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_moves_the_decoders_statistics_and_not_the_backbones(family: str) -> None:
    network = make(family, freeze=2).train()
    names = [name for group in network.parameter_groups() for name, _ in group]
    assert sorted(names) == sorted(key for key, value in network.named_parameters() if value.requires_grad)
    pretrained, _, new, biases = ([name for name, _ in group] for group in network.parameter_groups())
    assert all(name.startswith("backbone.") for name in pretrained)
    assert all(name.startswith(("decoder.", "classifier.")) for name in (*new, *biases))
    assert not any("conv_stem" in name or "blocks.0" in name or "blocks.1" in name for name in pretrained)
    assert len(new) + len(biases) == sum(
        1 for name, _ in network.named_parameters() if "backbone" not in name
    )

    before = {key: value.clone() for key, value in network.state_dict().items()}
    output = network(torch.randn(2, 3, 64, 64))
    loss = multi_scale_cross_entropy(output.supervised, torch.randint(0, CLASSES, (2, 64, 64)))
    loss.backward()
    assert loss.item() == pytest.approx(torch.tensor(CLASSES).log().item(), rel=0.2)
    touched = {name for name, value in network.named_parameters() if value.grad is not None}
    assert touched == set(names)
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(key.startswith("decoder.") for key in moved)
    statistics = {key for key in before if key.startswith("decoder.") and "running" in key}
    assert statistics <= moved


@pytest.mark.parametrize("family", FAMILIES)
def test_several_scales_are_each_trained_and_maxed(family: str) -> None:
    network = make(family, scales=(1.0, 0.5)).eval()
    with torch.no_grad():
        output = network(torch.randn(1, 3, 50, 70))
    assert [tuple(logits.shape[2:]) for logits in output.per_scale] == [(50, 70), (25, 35)]
    smaller = F.interpolate(output.per_scale[1], size=(50, 70), mode="bilinear")
    torch.testing.assert_close(output.logits, torch.maximum(output.per_scale[0], smaller))
    assert len(output.supervised) == 3


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_round_trip(family: str, tmp_path: Path) -> None:
    network = make(family, scales=(1.0, 0.75), stride=8)
    network(torch.randn(2, 3, 64, 64))  # in training: statistics that are not the initial ones
    save_model(network, tmp_path / "model.safetensors", meta={"classes": list("abcde")})
    again, meta = load_model(tmp_path / "model.safetensors")
    assert (again.name, again.classes, meta) == (f"{family}-lite0", CLASSES, {"classes": list("abcde")})
    assert again.options == network.options
    for key, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    images = torch.randn(1, 3, 60, 44)
    torch.testing.assert_close(again(images).logits, network.eval()(images).logits)


@torch.no_grad()
def test_made_ready_for_inference_it_answers_alike(network: Segmenter) -> None:
    images = torch.randn(1, 3, 60, 44)
    expected = network(images).logits
    _, ready = inference_network(make(network.name.partition("-")[0], freeze=2), Runtime(device="cpu"))
    torch.testing.assert_close(ready(images).logits, expected, rtol=1e-3, atol=1e-4)


def test_dilations_of_deeplab_v3_plus_follow_the_stride() -> None:
    rates = {}
    for stride in (8, 16):
        modules = make("deeplabv3plus", stride=stride).decoder.aspp.modules()
        rates[stride] = sorted({one.dilation[0] for one in modules if isinstance(one, nn.Conv2d)} - {1})
    assert rates == {8: [12, 24, 36], 16: [6, 12, 18]}


@pytest.mark.parametrize("backbone", ["timm:resnet18", "timm:convnext_atto", "resnet101"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_other_backbones(family: str, backbone: str) -> None:
    """convnext has no feature at stride 2; ResNet-101's pooling gives a row and a column more."""
    network = build(f"{family}-{backbone}", CLASSES, weights="none", channels=32).eval()
    assert network(torch.randn(1, 3, 50, 70)).logits.shape == (1, CLASSES, 50, 70)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_photo_a_batch(family: str) -> None:
    network = make(family).train()
    image = torch.randn(1, 3, 32, 32)
    if family == "segformer":  # pools nothing
        assert network(image).logits.shape == (1, CLASSES, 32, 32)
        return
    assert network.eval()(image).logits.shape == (1, CLASSES, 32, 32)


def test_unknown_names() -> None:
    with pytest.raises(SBNetError, match="did you mean 'segformer-lite0'"):
        build("segfomer-lite0")
    with pytest.raises(SBNetError, match="segformer-lite0 has no option 'head'"):
        build("segformer-lite0", head="pyramid")


def test_a_backbone_without_a_feature_at_stride_4(monkeypatch: pytest.MonkeyPatch) -> None:
    from sbnet.networks import build as registry

    backbone = registry.build_backbone("lite0", weights="none")
    backbone.stages = (0, 1, 2, 3)
    monkeypatch.setattr(registry, "build_backbone", lambda *_names, **_options: backbone)
    with pytest.raises(SBNetError, match=r"requires a feature at stride 4.*strides 2, 4, 8, 16"):
        build("upernet-lite0")
