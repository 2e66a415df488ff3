"""Names of tensors in the files that go round, and ours.

Ours are the names of SBNet's, SEAM's and PSA's ResNet-38, of DeepLab v2's ResNet-101, and of torchvision's and timm's
ResNet-50. What differs, and is translated here:

    MXNet's ResNet-38    arg:res5b1_branch2a_weight, aux:bn5b1_branch2a_moving_mean; linear1000_*, ImageNet's classifier
    IRN's ResNet-50      every tensor three times: resnet50.layer1.*, stage1.4.*, backbone.0.4.*; classifier.weight
    DeepLab v2           base.* around network and pyramid
    DataParallel         module.* around everything
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import SBNetError

MXNET = re.compile(
    r"(?:arg:|aux:)?(?:(?:res|bn)(?P<stage>\d)(?:a|b(?P<block>\d+))_(?P<branch>branch\w+?)|(?P<top>conv1a|bn7))"
    r"_(?P<what>weight|beta|gamma|moving_mean|moving_var)"
)
MXNET_CLASSIFIER = re.compile(r"(?:arg:)?linear1000_(weight|bias)")
MXNET_WHAT = {
    "weight": "weight",
    "beta": "bias",
    "gamma": "weight",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
}
IRN_MARK = "resnet50.conv1.weight"
# Where IRN's network shows a part of its ResNet-50 once more; its `backbone` lists the four stages, `newly_added` the
# classifier.
IRN_PARTS = {
    "stage1.0": "conv1",
    "stage1.1": "bn1",
    "stage1.4": "layer1",
    "stage2.0": "layer2",
    "stage3.0": "layer3",
    "stage4.0": "layer4",
}
IRN_CLASSIFIER = "classifier.weight"
PREFIXES = ("module.", "base.", "backbone.", "net.")  # DataParallel; DeepLab v2; ours; ours around timm's


class Renamed(NamedTuple):
    """`tensors` under our names, without `backbone.`; `left_out`: names in the file -> why they are not among them."""

    tensors: dict[str, Tensor]
    left_out: dict[str, str]


def our_name(name: str) -> str:
    """Our network's, or a foreign PyTorch file's, `name` without what it hangs in."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def rename(state: Mapping[str, Tensor]) -> Renamed:
    """A state of any of the origins above under our names. A name that is none of theirs stays, to be refused later.

    Raises SBNetError where two names of the file mean one tensor and differ.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    if IRN_MARK in state:
        return _from_irn(state)
    tensors: dict[str, Tensor] = {}
    left_out: dict[str, str] = {}
    for name, value in state.items():
        if MXNET_CLASSIFIER.fullmatch(name):
            left_out[name] = "ImageNet's classifier"
            continue
        match = MXNET.fullmatch(name)
        ours = _from_mxnet(match) if match else our_name(name)
        if ours in tensors:
            raise SBNetError(
                f"{name}: another tensor of the file is {ours} already; give a file of one network"
            )
        tensors[ours] = value
    return Renamed(tensors, left_out)


def _from_mxnet(match: re.Match[str]) -> str:
    what = MXNET_WHAT[match["what"]]
    if match["top"]:
        return f"{match['top']}.{what}"
    block = f"b{match['stage']}" + (f"_{match['block']}" if match["block"] else "")
    kind = "conv" if match["what"] == "weight" else "bn"
    return f"{block}.{kind}_{match['branch']}.{what}"


def _from_irn(state: Mapping[str, Tensor]) -> Renamed:
    tensors: dict[str, Tensor] = {}
    left_out: dict[str, str] = {}
    for name, value in state.items():
        first = _irn_original(name)
        if first == IRN_CLASSIFIER:
            ours = "fc8.weight"
        elif first.startswith("resnet50."):
            ours = first.removeprefix("resnet50.")
        else:
            ours = name
        if first != name:
            if first not in state or not torch.equal(state[first], value):
                raise SBNetError(
                    f"{name}: differs from {first}, which it is in IRN's network; fetch the file again"
                )
            left_out[name] = "a second name of one tensor"
        else:
            tensors[ours] = value
    return Renamed(tensors, left_out)


def _irn_original(name: str) -> str:
    """The first of the names that IRN's network has for a tensor."""
    name = re.sub(r"^backbone\.([0-3])\.", lambda match: f"stage{int(match[1]) + 1}.", name)
    if name.startswith("newly_added.0."):
        return "classifier." + name.removeprefix("newly_added.0.")
    for alias, part in IRN_PARTS.items():
        if name.startswith(f"{alias}."):
            return f"resnet50.{part}.{name.removeprefix(f'{alias}.')}"
    return name


def irn_names(name: str) -> list[str]:
    """Every name that IRN's CAM network has for our tensor `name` (as `our_name` gives it)."""
    if name == "fc8.weight":
        return [IRN_CLASSIFIER, "newly_added.0.weight"]
    part, _, rest = name.partition(".")
    (alias,) = (alias for alias, known in IRN_PARTS.items() if known == part)
    stage = int(alias[len("stage")])
    return [f"resnet50.{name}", f"{alias}.{rest}", f"backbone.{stage - 1}{alias[len('stage1') :]}.{rest}"]
