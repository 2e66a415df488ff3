"""timm's vision transformers as backbones: tokens, attention, sizes, weights, and every network over them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sbnet.backbones.timm_vit import TimmVit, is_vit
from sbnet.errors import SBNetError
from sbnet.networks.build import build, build_backbone, outline
from sbnet.networks.model_file import load_model, save_model
from sbnet.ops import label_grid

TINY = "timm:test_vit"  # 6 blocks of 64 channels, 2 heads
BLOCKS, CHANNELS, HEADS = 6, 64, 2


@pytest.fixture(scope="module")
def vit() -> TimmVit:
    torch.manual_seed(0)
    backbone = build_backbone(TINY, weights="none").eval()
    assert isinstance(backbone, TimmVit)
    return backbone


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vit_tiny_patch16_224", True),
        ("vit_small_patch14_dinov2.lvd142m", True),
        ("vit_small_patch16_dinov3", True),
        ("deit3_small_patch16_224", True),
        ("eva02_tiny_patch14_224", True),
        ("resnet18", False),
        ("swin_tiny_patch4_window7_224", False),
        ("no_such_model", False),
    ],
)
def test_which_models_are_transformers(name: str, expected: bool) -> None:
    assert is_vit(name) == expected


def test_what_it_says_of_itself(vit: TimmVit) -> None:
    assert vit.channels == (CHANNELS,) * BLOCKS
    assert vit.strides == (16,) * BLOCKS
    assert (vit.at(16), vit.prefix, vit.attention) == (BLOCKS - 1, 1, (BLOCKS, HEADS))
    assert vit.tokens((33, 64)) == (3, 4)
    with pytest.raises(SBNetError, match=r"no feature at stride 4.*16"):
        vit.at(4)


@torch.no_grad()
def test_features_are_timms(vit: TimmVit) -> None:
    """At the model's own size, where nothing is padded or interpolated."""
    side = vit.net.patch_embed.img_size[0]
    images = torch.randn(2, 3, side, side)
    final, maps = vit.net.forward_intermediates(images, norm=True)
    for feature, expected in zip(vit(images), maps, strict=True):
        torch.testing.assert_close(feature, expected)
    found = vit.forward_tokens(images, [BLOCKS - 1])
    torch.testing.assert_close(found.prefix[0], final[:, :1])
    torch.testing.assert_close(found.features[0].flatten(2).transpose(1, 2), final[:, 1:])


@settings(max_examples=12)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
@torch.no_grad()
def test_any_size_is_the_padded_image(vit: TimmVit, height: int, width: int) -> None:
    images = torch.randn(1, 3, height, width)
    rows, columns = vit.tokens((height, width))
    padded = functional.pad(images, (0, columns * 16 - width, 0, rows * 16 - height))
    (feature,), (expected,) = (vit(one, [vit.deepest]) for one in (images, padded))
    assert feature.shape == (1, CHANNELS, rows, columns)
    assert torch.equal(feature, expected)


@torch.no_grad()
def test_attention_is_the_softmax_of_queries_and_keys(vit: TimmVit) -> None:
    images = torch.randn(2, 3, 40, 60)
    found = vit.forward_tokens(images, [5], attention=[4, 1])
    tokens = 1 + 3 * 4
    assert [one.shape for one in found.attention] == [(2, HEADS, tokens, tokens)] * 2
    inputs = []
    block = vit.net.blocks[4].attn
    hook = block.register_forward_pre_hook(lambda _module, given: inputs.append(given[0]))
    plain = vit(images, [5])
    hook.remove()
    query, key, _ = block.qkv(inputs[0]).reshape(2, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    expected = (block.q_norm(query) @ block.k_norm(key).transpose(-2, -1) * block.scale).softmax(-1)
    torch.testing.assert_close(found.attention[0], expected)
    torch.testing.assert_close(found.features[0], plain[0], rtol=1e-4, atol=1e-5)
    assert all(one.attn.fused_attn == block.fused_attn for one in vit.net.blocks)
    assert not any(one.attn.attn_drop._forward_hooks for one in vit.net.blocks)


def test_gradients_reach_the_attention(vit: TimmVit) -> None:
    found = vit.forward_tokens(torch.randn(1, 3, 32, 32), attention=[5])
    (gradient,) = torch.autograd.grad(found.features[-1][:, 0].sum(), found.attention)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "patch", "prefix"),
    [
        ("vit_small_patch14_dinov2", 14, 1),
        ("vit_small_patch16_dinov3", 16, 5),
        ("deit_tiny_distilled_patch16_224", 16, 2),
        ("vit_wee_patch16_reg1_gap_256", 16, 1),
    ],
)
@torch.no_grad()
def test_other_transformers(name: str, patch: int, prefix: int) -> None:
    """The last norms of models that classify the mean of their tokens come after it; they are applied all the same."""
    backbone = build_backbone(f"timm:{name}", weights="none").eval()
    assert (backbone.strides[0], backbone.prefix) == (patch, prefix)
    found = backbone.forward_tokens(torch.randn(1, 3, 50, 30), [2, 11], attention=[11])
    rows, columns = backbone.tokens((50, 30))
    assert found.features[1].shape[2:] == (rows, columns) == (4, -(-30 // patch))
    assert found.attention[0].shape[-1] == prefix + rows * columns
    torch.testing.assert_close(found.attention[0].sum(-1), torch.ones_like(found.attention[0][..., 0]))
    for feature in found.features:
        torch.testing.assert_close(feature.mean(1), torch.zeros_like(feature[:, 0]), rtol=0, atol=1e-4)


def test_freeze_counts_blocks() -> None:
    backbone = build_backbone(TINY, weights="none", freeze=2)
    frozen = {name for name, value in backbone.net.named_parameters() if not value.requires_grad}
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.1.mlp.fc2.weight"} <= frozen
    assert not any(name.startswith(("blocks.2", "norm.", "fc_norm.")) for name in frozen)
    features = backbone(torch.randn(1, 3, 32, 32))
    assert features[2].requires_grad
    assert all(
        value.requires_grad
        for value in build_backbone(TINY, weights="none", freeze=0).net.blocks.parameters()
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (TINY, {"stride": 8}, r"stride=8: .*patches of 16.*set stride=16"),
        ("timm:vit_small_patch14_dinov2", {"stride": 16}, r"stride=16: .*patches of 14.*set stride=14"),
        (TINY, {"freeze": 7}, "freeze=7: .* 6 blocks; give 0 to 6"),
        (TINY, {"dilate": False}, "dilate=False: .*leave out dilate"),
        ("timm:vit_tiny_patch61_224", {}, "did you mean 'vit_tiny_patch16_"),
        ("timm:vit_relpos_small_patch16_224", {}, "cannot be built"),
    ],
)
def test_what_is_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(SBNetError, match=message):
        build_backbone(name, weights="none", **options)


@pytest.mark.parametrize(
    ("family", "remedy"),
    [
        ("irn", "another backbone"),
        ("deeplabv3plus", "DeepLab v2"),
        ("upernet", "DeepLab v2"),
        ("segformer", "DeepLab v2"),
    ],
)
def test_networks_that_require_stride_4(family: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.get_rng_state()
    message = rf"requires a feature at stride 4.*16.*{remedy}"
    with pytest.raises(SBNetError, match=message):
        outline(f"{family}-{TINY}", stride=16)
    assert torch.equal(torch.get_rng_state(), random)
    with pytest.raises(SBNetError, match=message):
        build(f"{family}-{TINY}", weights="none")


@pytest.mark.parametrize("family", ["cam", "seam", "sbnet", "affinitynet", "deeplabv2"])
def test_networks_over_a_transformer(family: str, tmp_path: Path) -> None:
    outline(f"{family}-{TINY}", stride=16, freeze=1)
    torch.manual_seed(0)
    network = build(f"{family}-{TINY}", 4, weights="none", stride=16, freeze=1)
    size = (130, 170) if family == "affinitynet" else (50, 70)  # its pairs require a larger grid
    images = torch.randn(2, 3, *size)
    given = (images, torch.zeros(2, 1, 50, 70)) if family == "sbnet" else (images,)
    output = network(*given)
    if family == "affinitynet":
        assert network.output_stride == 16
        assert output.features.shape[2:] == label_grid(torch.zeros(2, *size), stride=16, classes=4).shape[1:]
        loss = output.affinity.sum()
    elif family == "deeplabv2":
        assert output.logits.shape == (2, 4, 4, 5)
        loss = output.logits.square().sum()
    else:
        assert output.cam.shape == output.refined_cam.shape == (2, 4, 50, 70)
        loss = output.cam.sum() + output.refined_cam.sum()
        if family == "sbnet":
            loss = loss + output.boundary_fused.sum()
    loss.backward()
    untouched = {
        name for name, value in network.named_parameters() if value.requires_grad and value.grad is None
    }
    assert not untouched
    save_model(network, tmp_path / "model.safetensors", meta={})
    again, _ = load_model(tmp_path / "model.safetensors")
    with torch.no_grad():
        found, expected = again(*given), network.eval()(*given)
        assert all(map(torch.equal, tensors_of(found), tensors_of(expected)))


def tensors_of(output: Any) -> list[torch.Tensor]:
    """A network's output is a tensor, a tuple or a dataclass."""
    if isinstance(output, torch.Tensor):
        return [output]
    parts = output if isinstance(output, tuple) else vars(output).values()
    return [part for part in parts if isinstance(part, torch.Tensor)]


def test_weights_of_another_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """timm's names, a classifier, and position embeddings of a larger image."""
    donor = timm.create_model("test_vit", img_size=320, num_classes=7)
    path = tmp_path / "vit.pth"
    torch.save(donor.state_dict(), path)
    with caplog.at_level(logging.WARNING):
        backbone = build_backbone(TINY, weights=f"file:{path}")
    assert not caplog.records
    own, theirs = backbone.net.state_dict(), donor.state_dict()
    assert own["pos_embed"].shape != theirs["pos_embed"].shape
    torch.testing.assert_close(own["pos_embed"][:, :1], theirs["pos_embed"][:, :1])
    torch.testing.assert_close(own["pos_embed"].mean(), theirs["pos_embed"].mean(), rtol=0, atol=1e-2)
    for name in own:
        if name != "pos_embed":
            assert torch.equal(own[name], theirs[name]), name


def test_weights_from_a_trained_network(tmp_path: Path) -> None:
    trained = build(f"cam-{TINY}", 4, weights="none")
    save_model(trained, tmp_path / "model.safetensors", meta={})
    backbone = build_backbone(TINY, weights=f"file:{tmp_path / 'model.safetensors'}")
    for name, value in trained.backbone.state_dict().items():
        assert torch.equal(backbone.state_dict()[name], value)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("blocks.3.attn.qkv.weight"),
        lambda state: state.update(pos_embed=torch.zeros(3)),
        lambda state: state.update(pos_embed=torch.zeros(1, 1, 5)),
        lambda state: state.update({"blocks.0.norm1.weight": torch.full((CHANNELS,), float("nan"))}),
        lambda state: state.update({"visual.class_embedding": torch.zeros(1)}),
    ],
)
def test_files_that_do_not_fit(change: object, tmp_path: Path) -> None:
    state = timm.create_model("test_vit").state_dict()
    change(state)
    path = tmp_path / "vit.pth"
    torch.save(state, path)
    with pytest.raises(SBNetError, match=rf"{path}: "):
        build_backbone(TINY, weights=f"file:{path}")
