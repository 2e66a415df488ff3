"""IRN's second network and SEAM's segmenter: read strictly, and equal to plain transcriptions of theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import resnet50

import foreign_files
from sbnet.compat.names import our_name, rename
from sbnet.errors import SBNetError
from sbnet.networks.foreign import convert_weights, write_reference
from sbnet.networks.model_file import load_model

State = dict[str, Tensor]


@pytest.fixture
def irn_state() -> State:
    """What IRN's training saves: heads and backbone under every name that they have there, and what it trains with."""
    torch.manual_seed(0)
    return foreign_files.irn_networks()["second"]


def irn(state: State, image: Tensor) -> tuple[Tensor, Tensor]:
    """Boundary logits and displacements, layer by layer as published, for sizes that 16 divides."""
    net = resnet50().eval()
    net.layer4[0].conv2.stride = net.layer4[0].downsample[0].stride = (1, 1)
    theirs = {
        name.removeprefix("resnet50."): value for name, value in state.items() if name.startswith("resnet50.")
    }
    assert net.load_state_dict(theirs, strict=False).missing_keys == ["fc.weight", "fc.bias"]
    features = [net.maxpool(net.relu(net.bn1(net.conv1(image))))]
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        features.append(stage(features[-1]))

    def layer(name: str, feature: Tensor, groups: int, enlarge: int = 1) -> Tensor:
        value = F.conv2d(feature, state[f"{name}.0.weight"])
        value = F.group_norm(value, groups, state[f"{name}.1.weight"], state[f"{name}.1.bias"])
        if enlarge > 1:
            value = F.interpolate(value, scale_factor=enlarge, mode="bilinear", align_corners=False)
        return value.relu()

    edges = [layer(f"fc_edge{k}", features[k - 1], 4, (1, 1, 2, 4, 4)[k - 1]) for k in range(1, 6)]
    boundary = F.conv2d(torch.cat(edges, 1), state["fc_edge6.weight"], state["fc_edge6.bias"])
    coarse = [layer(f"fc_dp{k}", features[k - 1], 16, (1, 2, 2)[k - 3]) for k in (3, 4, 5)]
    joined = layer("fc_dp6", torch.cat(coarse, 1), 16, 2)
    parts = [layer("fc_dp1", features[0], 8), layer("fc_dp2", features[1], 16), joined]
    return boundary, F.conv2d(layer("fc_dp7", torch.cat(parts, 1), 16), state["fc_dp7.3.weight"])


def test_irns_second_network_is_ours(irn_state: State, tmp_path: Path) -> None:
    state = irn_state
    torch.save(state, tmp_path / "res50_irn.pth")
    done = convert_weights(tmp_path / "res50_irn.pth", "irn-timm:resnet50", tmp_path / "irn.safetensors")
    notes = "\n".join(done.notes)
    assert "mean displacement, used for instances only: " in notes
    assert "indices of the pairs it was trained on: path_indices0, disp_target" in notes
    model, _ = load_model(tmp_path / "irn.safetensors")
    tensors, ignored = rename(state)
    assert len(tensors) + len(ignored) == len(state)
    own = {our_name(name): value for name, value in model.state_dict().items()}
    assert own.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in own.items())
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        boundary, displacement = irn(state, image)
        ours = model(image)
    torch.testing.assert_close(ours.boundary, boundary[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.displacement, displacement, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"fc_dp6.0.weight": None, "dp_layers.5.0.weight": None},
            "missing displacement_head.joined.conv.weight",
        ),
        (
            {"edge_layers.2.0.weight": torch.zeros(1)},
            "edge_layers.2.0.weight: differs from fc_edge3.0.weight",
        ),
        ({"fc_edge7.0.weight": torch.zeros(1)}, "unexpected fc_edge7.0.weight"),
        ({"fc_dp2.5.weight": torch.zeros(1)}, "unexpected fc_dp2.5.weight"),
    ],
)
def test_irns_second_network_is_read_strictly(
    change: dict[str, Tensor | None], message: str, irn_state: State, tmp_path: Path
) -> None:
    state = {name: value for name, value in (irn_state | change).items() if value is not None}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(SBNetError, match=message):
        convert_weights(tmp_path / "a.pth", "irn-timm:resnet50", tmp_path / "a.safetensors")


def test_a_network_of_another_kind_is_told(irn_state: State, tmp_path: Path) -> None:
    torch.save(irn_state, tmp_path / "a.pth")
    with pytest.raises(
        SBNetError, match="IRN's second network, not cam-timm:resnet50; give --model irn-timm"
    ):
        convert_weights(tmp_path / "a.pth", "cam-timm:resnet50", tmp_path / "a.safetensors")


def test_seams_segmenter_there_and_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = foreign_files.seam_segmenter()
    theirs, ours, back = (tmp_path / name for name in ("a.pth", "a.safetensors", "b.pth"))
    torch.save({f"module.{name}": value for name, value in state.items()}, theirs)
    with pytest.raises(
        SBNetError, match="SEAM's segmenter, not deeplabv2-resnet101; give --model deeplabv2-resnet38"
    ):
        convert_weights(theirs, "deeplabv2-resnet101", ours)
    done = convert_weights(theirs, "deeplabv2-resnet38", ours)
    assert done.notes == []
    assert write_reference(ours, back).what == "deeplabv2-resnet38 as SEAM's segmenter"
    again = torch.load(back, weights_only=True, mmap=True)
    assert again.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in again.items())
    model, meta = load_model(ours)
    assert meta["origin"] == {"recipe": "voc12-resnet38-seam", "verified": False}
    image = torch.randn(1, 3, 40, 56)

    def norm(name: str, value: Tensor) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(value, *(state[f"{name}.{what}"] for what in names)).relu()

    with torch.no_grad():
        value = model.backbone(image)[-1]
        value = norm("bn_fov", F.conv2d(value, state["conv_fov.weight"], padding=12, dilation=12))
        value = norm("bn_fov2", F.conv2d(value, state["conv_fov2.weight"]))
        expected = F.conv2d(value, state["cls_conv.weight"], state["cls_conv.bias"])
        assert not any(
            layer.training for layer in model.train().fov if isinstance(layer, torch.nn.BatchNorm2d)
        )
        torch.testing.assert_close(model.eval()(image).logits, expected, rtol=1e-4, atol=1e-4)
