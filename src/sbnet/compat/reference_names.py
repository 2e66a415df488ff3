"""Names of tensors in the files that go round, and ours.

Ours are the names of SBNet's, SEAM's and PSA's ResNet-38, of DeepLab v2's ResNet-101, and of torchvision's and timm's
ResNet-50. What differs, and is translated here:

    MXNet's ResNet-38    arg:res5b1_branch2a_weight, aux:bn5b1_branch2a_moving_mean; linear1000_*, ImageNet's classifier
    IRN's ResNet-50      every tensor three times, see irn_names.py
    DeepLab v2           base.* around network and pyramid
    SEAM's segmenter     backbone.* around ResNet-38; conv_fov, bn_fov, conv_fov2, bn_fov2, cls_conv
    DataParallel         module.* around everything
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from sbnet.compat.irn_names import IRN_MARK, from_irn
from sbnet.compat.unique_names import by_new_name, without_parallel

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
# SEAM's segmenter: its head -> the places of these layers in ours.
FOV_MARK = "conv_fov.weight"
FOV = {"conv_fov": "fov.0", "bn_fov": "fov.1", "conv_fov2": "fov.3", "bn_fov2": "fov.4", "cls_conv": "fov.7"}
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

    Raises SBNetError where two names of the file are one of ours, or mean one tensor and differ.
    """
    state = without_parallel(state)
    if IRN_MARK in state:
        return Renamed(*from_irn(state))
    head = FOV if FOV_MARK in state else {}
    renamed: list[tuple[str, str, Tensor]] = []
    left_out: dict[str, str] = {}
    for name, value in state.items():
        if MXNET_CLASSIFIER.fullmatch(name):
            left_out[name] = "ImageNet's classifier"
            continue
        match = MXNET.fullmatch(name)
        ours = _from_mxnet(match) if match else our_name(name)
        part, _, rest = ours.partition(".")
        renamed.append((name, f"{head[part]}.{rest}" if part in head else ours, value))
    return Renamed(by_new_name(renamed), left_out)


def _from_mxnet(match: re.Match[str]) -> str:
    what = MXNET_WHAT[match["what"]]
    if match["top"]:
        return f"{match['top']}.{what}"
    block = f"b{match['stage']}" + (f"_{match['block']}" if match["block"] else "")
    kind = "conv" if match["what"] == "weight" else "bn"
    return f"{block}.{kind}_{match['branch']}.{what}"
