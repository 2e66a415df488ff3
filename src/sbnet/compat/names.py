"""Names of tensors in other implementations' files, and ours.

Ours are those of SBNet's, SEAM's and PSA's ResNet-38, of DeepLab v2's ResNet-101, and of torchvision's and timm's
ResNet-50. What differs is translated here:

    MXNet's ResNet-38    arg:res5b1_branch2a_weight, aux:bn5b1_branch2a_moving_mean; linear1000_*, ImageNet's classifier
    IRN's ResNet-50      every tensor three times, see irn_names.py
    DeepLab v2           base.* around backbone and pyramid
    SEAM's segmenter     backbone.* around ResNet-38; conv_fov, bn_fov, conv_fov2, bn_fov2, cls_conv
    DataParallel         module.* around everything
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from sbnet.compat.irn_names import IRN_MARK, from_irn
from sbnet.errors import SBNetError

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
# SEAM's segmenter: layers of its head -> their places in ours.
FOV_MARK = "conv_fov.weight"
FOV = {"conv_fov": "fov.0", "bn_fov": "fov.1", "conv_fov2": "fov.3", "bn_fov2": "fov.4", "cls_conv": "fov.7"}
PREFIXES = ("module.", "base.", "backbone.", "net.")  # DataParallel; DeepLab v2; ours; ours around timm's


class Renamed(NamedTuple):
    """`tensors` by our names, without `backbone.`; `left_out`: names in the file -> why they are not among them."""

    tensors: dict[str, Tensor]
    left_out: dict[str, str]


def our_name(name: str) -> str:
    """A name in a network of ours or in a PyTorch file of others, without its prefixes."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def rename(state: Mapping[str, Tensor]) -> Renamed:
    """A state of any of the origins above under our names. Unknown names stay; loading refuses them later.

    Raises SBNetError where two names of the file become one of ours, or name one tensor and differ.
    """
    state = without_parallel(state)
    if IRN_MARK in state:
        named, left_out = from_irn(state)
        return Renamed(by_new_name((name, new, state[name]) for name, new in named.items()), left_out)
    head = FOV if FOV_MARK in state else {}
    renamed: list[tuple[str, str, Tensor]] = []
    left_out = {}
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


def by_new_name(renamed: Iterable[tuple[str, str, Tensor]]) -> dict[str, Tensor]:
    """(name in the file, new name, tensor) -> tensors by new name. Raises SBNetError where two names become one."""
    tensors: dict[str, Tensor] = {}
    for name, new, value in renamed:
        if new in tensors:
            raise SBNetError(f"{name}: the file has another tensor {new}; give a file of one network")
        tensors[new] = value
    return tensors


def without_parallel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without DataParallel's `module.`; errors as above."""
    return by_new_name((name, name.removeprefix("module."), value) for name, value in state.items())
