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
from collections.abc import Mapping
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


class Weights(NamedTuple):
    """tensors: by name. ignored: names in the file -> why they are not among them."""

    tensors: dict[str, Tensor]
    ignored: dict[str, str]


def our_name(name: str) -> str:
    """A name in a network of ours or in a PyTorch file of others, without its prefixes."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def rename(state: Mapping[str, Tensor]) -> Weights:
    """A state of any of the origins above under our names, without `backbone.`. Unknown names stay; loading refuses
    them later. Raises SBNetError where two names of the file become one of ours, or name one tensor and differ.
    """
    state = without_parallel(state)
    ignored: dict[str, str]
    if IRN_MARK in state:
        named, ignored = from_irn(state)
    else:
        ignored = dict.fromkeys(filter(MXNET_CLASSIFIER.fullmatch, state), "ImageNet's classifier")
        head = FOV if FOV_MARK in state else {}
        named = {name: _ours(name, head) for name in state if name not in ignored}
    return Weights(_by_new_name(state, named), ignored)


def without_parallel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without DataParallel's `module.`; errors as above."""
    return _by_new_name(state, {name: name.removeprefix("module.") for name in state})


def _by_new_name(state: Mapping[str, Tensor], named: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors that `named` renames. Raises SBNetError where two names become one."""
    tensors: dict[str, Tensor] = {}
    for name, new in named.items():
        if new in tensors:
            raise SBNetError(
                f"{name}: a second tensor of the file that is {new} here: give the file of a single network"
            )
        tensors[new] = state[name]
    return tensors


def _ours(name: str, head: Mapping[str, str]) -> str:
    if match := MXNET.fullmatch(name):
        return _from_mxnet(match)
    ours = our_name(name)
    part, _, rest = ours.partition(".")
    return f"{head[part]}.{rest}" if part in head else ours


def _from_mxnet(match: re.Match[str]) -> str:
    what = MXNET_WHAT[match["what"]]
    if match["top"]:
        return f"{match['top']}.{what}"
    block = f"b{match['stage']}" + (f"_{match['block']}" if match["block"] else "")
    kind = "conv" if match["what"] == "weight" else "bn"
    return f"{block}.{kind}_{match['branch']}.{what}"
