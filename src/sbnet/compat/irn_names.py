"""IRN's two networks over ResNet-50: its names of their tensors, and ours.

Both list every tensor three times: in `resnet50`, in the stages, and in a list of these; the second lists its heads
twice.

    CAM network (res50_cam.pth)     stage1.4 is layer1, stage2.0 layer2, ...; classifier is newly_added.0
    second network (res50_irn.pth)  stage2.0 is layer1, stage3.0 layer2, ...; fc_edge1..6 are edge_layers.0..5,
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
# The second names of the parts of ResNet-50; `backbone` lists the stages.
STEM = {"stage1.0": "conv1", "stage1.1": "bn1"}
CAM_PARTS = STEM | {"stage1.4": "layer1", "stage2.0": "layer2", "stage3.0": "layer3", "stage4.0": "layer4"}
SECOND_PARTS = STEM | {"stage2.0": "layer1", "stage3.0": "layer2", "stage4.0": "layer3", "stage5.0": "layer4"}
# The second network's convolutions (0) and their group norms (1); fc_dp7 also has the last convolution.
HEADS = {
    **{f"fc_edge{number}": f"boundary_head.paths.{number - 1}" for number in range(1, 6)},
    **{"fc_dp1": "displacement_head.fine.0", "fc_dp2": "displacement_head.fine.1"},
    **{f"fc_dp{number}": f"displacement_head.coarse.{number - 3}" for number in range(3, 6)},
    **{"fc_dp6": "displacement_head.joined", "fc_dp7": "displacement_head.mixed"},
}
FIELD = "displacement_head.field.weight"
UNUSED = {
    re.compile(r"mean_shift\..+|fc_dp7\.4\..+"): "mean displacement, used for instances only",
    re.compile(r"path_indices\d+|ind_from|ind_to|disp_target"): "indices of the pairs it was trained on",
}


def from_irn(state: Mapping[str, Tensor]) -> tuple[dict[str, str], dict[str, str]]:
    """Names in a file of either network -> ours; the other names in it -> why they are left out.

    Raises SBNetError where two names of one tensor differ.
    """
    second = SECOND_MARK in state
    named: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name, value in state.items():
        first = _original(name, second)
        if first != name:
            if first not in state or not torch.equal(state[first], value):
                raise SBNetError(
                    f"{name}: differs from {first}, although IRN's network has one tensor under both names; download "
                    "the file again"
                )
            left_out[name] = "a second name of one tensor"
        elif second and (why := [reason for pattern, reason in UNUSED.items() if pattern.fullmatch(name)]):
            left_out[name] = why[0]
        else:
            named[name] = _ours(name, second)
    return named, left_out


def _original(name: str, second: bool) -> str:
    """The first of the names of a tensor."""
    name = re.sub(r"^backbone\.([0-4])\.", lambda match: f"stage{int(match[1]) + 1}.", name)
    if second:
        name = re.sub(r"^edge_layers\.([0-5])\.", lambda match: f"fc_edge{int(match[1]) + 1}.", name)
        name = re.sub(r"^dp_layers\.([0-6])\.", lambda match: f"fc_dp{int(match[1]) + 1}.", name)
    elif name.startswith("newly_added.0."):
        return "classifier." + name.removeprefix("newly_added.0.")
    for alias, part in (SECOND_PARTS if second else CAM_PARTS).items():
        if name.startswith(f"{alias}."):
            return f"resnet50.{part}.{name.removeprefix(f'{alias}.')}"
    return name


def _ours(name: str, second: bool) -> str:
    """Our name of a tensor, given the first of its names; unknown names stay."""
    if name.startswith("resnet50."):
        return name.removeprefix("resnet50.")
    if not second:
        return "fc8.weight" if name == CLASSIFIER else name
    if name == "fc_dp7.3.weight":
        return FIELD
    part, _, rest = name.partition(".")
    if part == "fc_edge6":
        return f"boundary_head.classifier.{rest}"
    index, _, what = rest.partition(".")
    kind = {"0": "conv", "1": "norm"}.get(index)
    return f"{HEADS[part]}.{kind}.{what}" if part in HEADS and kind else name


def cam_names(name: str) -> list[str]:
    """Every name that IRN's CAM network has for our tensor `name` (see `our_name`)."""
    if name == "fc8.weight":
        return [CLASSIFIER, "newly_added.0.weight"]
    part, _, rest = name.partition(".")
    (alias,) = (alias for alias, known in CAM_PARTS.items() if known == part)
    stage = int(alias[len("stage")])
    return [f"resnet50.{name}", f"{alias}.{rest}", f"backbone.{stage - 1}{alias[len('stage1') :]}.{rest}"]
