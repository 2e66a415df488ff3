"""IRN's two networks over ResNet-50: its names of their tensors, and ours.

Both list every tensor three times: in `resnet50`, in the stages, and in a list of these; the second lists its heads
twice.

    CAM network (res50_cam.pth)     layer1 is stage1.4, layer2 stage2.0, ...; classifier is newly_added.0
    second network (res50_irn.pth)  layer1 is stage2.0, layer2 stage3.0, ...; fc_edge1..6 are edge_layers.0..5,
                                    fc_dp1..7 dp_layers.0..6; mean_shift; tables of the pairs it is trained on
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from sbnet.errors import SBNetError

IRN_MARK = "resnet50.conv1.weight"
SECOND_MARK = "fc_edge1.0.weight"
CLASSIFIER = "classifier.weight"
# Parts of ResNet-50 -> stage, from 1, and place in it.
STEM = {"conv1": (1, 0), "bn1": (1, 1)}
CAM_PARTS = STEM | {"layer1": (1, 4), "layer2": (2, 0), "layer3": (3, 0), "layer4": (4, 0)}
SECOND_PARTS = STEM | {"layer1": (2, 0), "layer2": (3, 0), "layer3": (4, 0), "layer4": (5, 0)}
# The second network's convolutions (0) and their group norms (1); fc_dp7 also has the last convolution.
HEADS = {
    **{f"fc_edge{number}": f"boundary_head.paths.{number - 1}" for number in range(1, 6)},
    **{"fc_dp1": "displacement_head.fine.0", "fc_dp2": "displacement_head.fine.1"},
    **{f"fc_dp{number}": f"displacement_head.coarse.{number - 3}" for number in range(3, 6)},
    **{"fc_dp6": "displacement_head.joined", "fc_dp7": "displacement_head.mixed"},
}
HEAD = re.compile(r"fc_(edge|dp)(\d)\.(.+)")
UNUSED = {
    re.compile(r"mean_shift\..+|fc_dp7\.4\..+"): "mean displacement, used for instances only",
    re.compile(r"path_indices\d+|ind_from|ind_to|disp_target"): "indices of the pairs it was trained on",
}


def from_irn(state: Mapping[str, Tensor]) -> tuple[dict[str, str], dict[str, str]]:
    """Names in a file of either network -> ours; the other names in it -> why they are left out.

    Raises SBNetError where two names of one tensor differ.
    """
    second = SECOND_MARK in state
    ignored: dict[str, str] = {}
    for name, value in state.items():
        for again in _other_names(name, second=second):
            if again in state and not torch.equal(value, state[again]):
                raise SBNetError(
                    f"{again}: differs from {name}, although IRN's network has one tensor under both names; download "
                    "the file again"
                )
            ignored[again] = "a second name of one tensor"
        for pattern, reason in UNUSED.items():
            if pattern.fullmatch(name):
                ignored[name] = reason
    named = {name: _ours(name) for name in state if name not in ignored}
    return named, {name: ignored[name] for name in state if name in ignored}


def cam_names(name: str) -> list[str]:
    """Every name that IRN's CAM network has for our tensor `name` (see `our_name`)."""
    theirs = CLASSIFIER if name == "fc8.weight" else f"resnet50.{name}"
    return [theirs, *_other_names(theirs, second=False)]


def _other_names(name: str, *, second: bool) -> list[str]:
    """The other names of a tensor, given the first."""
    if name == CLASSIFIER:
        return ["newly_added.0.weight"]
    if head := HEAD.fullmatch(name):
        return [f"{head[1]}_layers.{int(head[2]) - 1}.{head[3]}"]
    network, _, inner = name.partition(".")
    part, _, rest = inner.partition(".")
    parts = SECOND_PARTS if second else CAM_PARTS
    if network != "resnet50" or part not in parts:
        return []
    stage, place = parts[part]
    return [f"stage{stage}.{place}.{rest}", f"backbone.{stage - 1}.{place}.{rest}"]


def _ours(name: str) -> str:
    """Our name of a tensor, given the first of its names; unknown names stay."""
    if name == CLASSIFIER:
        return "fc8.weight"
    if name == "fc_dp7.3.weight":
        return "displacement_head.field.weight"
    part, _, rest = name.partition(".")
    if part == "resnet50":
        return rest
    if part == "fc_edge6":
        return f"boundary_head.classifier.{rest}"
    index, _, what = rest.partition(".")
    kind = {"0": "conv", "1": "norm"}.get(index)
    return f"{HEADS[part]}.{kind}.{what}" if part in HEADS and kind else name
