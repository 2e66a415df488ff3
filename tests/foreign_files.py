"""Files as SBNet's, SEAM's, PSA's, IRN's and DeepLab v2's code writes them, with random numbers in them.

The ResNets are a quarter as wide, so that tests can write, read and train them; names and layers are the reference's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sbnet.backbones import resnet38, resnet101
from sbnet.backbones.network import freeze_batch_norm
from sbnet.compat.mxnet_file import LIST
from sbnet.compat.names import our_name
from sbnet.networks import build as networks

THINNER = (
    4  # with fewer than 16 channels, PyTorch 2.15 on some CPUs writes beyond its gradients (channels last)
)
BOUNDARY = ("edge_layer", "fuse_canny_edge")
CORRELATION = ("f8_3", "f8_4", "f9")
STEM = {"conv1": "stage1.0", "bn1": "stage1.1"}  # IRN's second names


class ThinResNet38(resnet38.ResNet38):
    """ResNet-38 with a quarter of its channels."""

    channels = tuple(channels // THINNER for channels in resnet38.ResNet38.channels)

    def __init__(self, **options: Any) -> None:
        basic, bottleneck, conv = resnet38.BasicBlock, resnet38.BottleneckBlock, resnet38._conv

        def thin(kind: Any, *widths: int, **options: Any) -> nn.Module:
            return kind(*(width // THINNER for width in widths), **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resnet38, "BasicBlock", lambda *w, **o: thin(basic, *w, **o))
            patch.setattr(resnet38, "BottleneckBlock", lambda *w, **o: thin(bottleneck, *w, **o))
            patch.setattr(
                resnet38, "_conv", lambda s, t, k, **o: conv(s, t // THINNER if s == 3 else t, k, **o)
            )
            super().__init__(**options)
        self.bn7 = nn.BatchNorm2d(self.channels[-1])
        freeze_batch_norm(self)


class ThinResNet101(resnet101.ResNet101):
    """ResNet-101 with a quarter of its channels."""

    channels = tuple(channels // THINNER for channels in resnet101.ResNet101.channels)

    def __init__(self, **options: Any) -> None:
        conv_bn = resnet101._conv_bn

        def thin(source: int, target: int, size: int, **options: Any) -> nn.Module:
            return conv_bn(source if source == 3 else source // THINNER, target // THINNER, size, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resnet101, "_conv_bn", thin)
            super().__init__(**options)


def named(network: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """The network's tensors under the reference's own list of names, which must be all that it has."""
    own = {our_name(name): value for name, value in network.state_dict().items()}
    state = {name: own.pop(our_name(name)) for name in names}
    assert not [name for name in own if not name.endswith("num_batches_tracked")]
    return state


def without(state: dict[str, Tensor], *parts: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.split(".")[0] not in parts}


def cam_networks(golden: Any) -> dict[str, dict[str, Tensor]]:
    """SBNet's, SEAM's and PSA's CAM network."""
    sbnet = named(networks.build("sbnet-resnet38", weights="none"), golden.load("sbnet_state", 0))
    seam = without(sbnet, *BOUNDARY)
    psa = without(seam, *CORRELATION)
    return {"sbnet": sbnet, "seam": seam, "psa": psa | {"fc8.weight": psa["fc8.weight"][1:].clone()}}


def deeplab(golden: Any) -> dict[str, Tensor]:
    return named(networks.build("deeplabv2-resnet101", weights="none"), golden.load("deeplabv2_state", 0))


def seam_segmenter() -> dict[str, Tensor]:
    """DeepLab v1 over ResNet-38, as SEAM's retraining saves it: the head has batch norms, with statistics."""
    backbone = networks.build_backbone("resnet38", weights="none").state_dict()
    state = {f"backbone.{name}": value for name, value in backbone.items()}
    state["conv_fov.weight"] = _spread(512, len(backbone["bn7.weight"]), 3, 3)
    state["conv_fov2.weight"] = _spread(512, 512, 1, 1)
    for name in ("bn_fov", "bn_fov2"):
        for what in ("weight", "running_mean", "running_var"):
            state[f"{name}.{what}"] = torch.rand(512) + 0.5
        state |= {f"{name}.bias": torch.randn(512), f"{name}.num_batches_tracked": torch.tensor(20_000)}
    return state | {"cls_conv.weight": _spread(21, 512, 1, 1), "cls_conv.bias": torch.randn(21)}


def _spread(*shape: int) -> Tensor:
    """As spread out as initial weights are."""
    return torch.randn(shape) * (2 / torch.Size(shape[1:]).numel()) ** 0.5


def irn_networks() -> dict[str, dict[str, Tensor]]:
    """IRN's CAM network and its second one: every tensor under each of its names."""
    resnet = networks.build_backbone("timm:resnet50", weights="none").state_dict()
    resnet = {our_name(name): value for name, value in resnet.items()}
    layers = {f"layer{number}": f"stage{number + 1}.0" for number in range(1, 5)}
    second = _shown(resnet, STEM | layers)
    heads: dict[str, Tensor] = {}
    for number, source in enumerate((64, 256, 512, 1024, 2048), 1):
        heads |= _layer(f"fc_edge{number}", source, 32)
    heads |= {"fc_edge6.weight": 0.1 * torch.randn(1, 160, 1, 1), "fc_edge6.bias": torch.randn(1)}
    widths = ((64, 64), (256, 128), (512, 256), (1024, 256), (2048, 256), (768, 256), (448, 256))
    for number, (source, target) in enumerate(widths, 1):
        heads |= _layer(f"fc_dp{number}", source, target)
    heads |= {"fc_dp7.3.weight": 0.1 * torch.randn(2, 256, 1, 1), "fc_dp7.4.running_mean": torch.ones(2)}
    for name, value in heads.items():
        part, _, rest = name.partition(".")
        listed = "edge_layers" if "edge" in part else "dp_layers"
        second |= {name: value, f"{listed}.{int(part[-1]) - 1}.{rest}": value}
    second |= {"mean_shift.running_mean": torch.ones(2), "path_indices0": torch.zeros(1, 2, 3).long()}
    second["disp_target"] = torch.zeros(1, 2, 152, 1)
    return {"cam": irn_cam(resnet), "second": second}


def irn_cam(resnet: dict[str, Tensor]) -> dict[str, Tensor]:
    """IRN's CAM network over this ResNet-50, whose names are torchvision's."""
    layers = {"layer1": "stage1.4", "layer2": "stage2.0", "layer3": "stage3.0", "layer4": "stage4.0"}
    classifier = 0.01 * torch.randn(20, 2048, 1, 1)
    return _shown(resnet, STEM | layers) | {
        "classifier.weight": classifier,
        "newly_added.0.weight": classifier,
    }


def _shown(resnet: dict[str, Tensor], stages: dict[str, str]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name, value in resnet.items():
        part, _, rest = name.partition(".")
        stage = stages[part]
        again = f"backbone.{int(stage[5]) - 1}{stage[6:]}"
        state |= dict.fromkeys((f"resnet50.{name}", f"{stage}.{rest}", f"{again}.{rest}"), value)
    return state


def _layer(name: str, source: int, target: int) -> dict[str, Tensor]:
    """A 1x1 convolution and its group norm."""
    return {
        f"{name}.0.weight": torch.randn(target, source, 1, 1) * (2 / source) ** 0.5,
        f"{name}.1.weight": 1 + 0.1 * torch.randn(target),
        f"{name}.1.bias": 0.1 * torch.randn(target),
    }


def write_mxnet(path: Path, resnet38: dict[str, Tensor]) -> None:
    """ResNet-38 as MXNet 0.12 and later write it, with ImageNet's classifier."""
    arrays = {mxnet_name(name): value for name, value in resnet38.items() if "num_batches" not in name}
    arrays["arg:linear1000_bias"] = torch.zeros(1000)
    with path.open("wb") as file:
        file.write(LIST + struct.pack("<Q", len(arrays)))
        for value in arrays.values():
            shape = struct.pack(f"<I{value.dim()}q", value.dim(), *value.shape)
            file.write(struct.pack("<Ii", 0xF993FAC9, 0) + shape + struct.pack("<iii", 1, 0, 0))
            file.write(value.numpy().tobytes())
        file.write(struct.pack("<Q", len(arrays)))
        for name in arrays:
            file.write(struct.pack("<Q", len(name)) + name.encode())


def mxnet_name(ours: str) -> str:
    """As MXNet's Module writes it: b5_1.bn_branch2a.running_var -> aux:bn5b1_branch2a_moving_var."""
    block, *middle, what = ours.split(".")
    kind, _, branch = middle[0].partition("_") if middle else ("", "", "")
    norm = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
    last = "weight" if kind == "conv" or block == "conv1a" else norm[what]
    group = "aux" if last.startswith("moving") else "arg"
    if not middle:
        return f"{group}:{block}_{last}"
    unit = f"{block[1]}a" if "_" not in block else f"{block[1]}b{block[3:]}"
    return f"{group}:{'res' if kind == 'conv' else 'bn'}{unit}_{branch}_{last}"


def write_pickle(path: Path, content: dict[Any, Any]) -> None:
    """As their scripts do it: np.save of a dictionary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
