"""What the names in a file of other origin tell: which network it holds, and whose scripts write such files."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sbnet.compat.irn_names import IRN_MARK
from sbnet.compat.reference_names import FOV_MARK, our_name

PYRAMID_MARKS = {"layer2.block1.reduce.conv.weight", "aspp.c0.weight"}  # DeepLab v2's over ResNet-101
# Network, and a CAM network's method -> the recipe of ours with the settings of the scripts that write such files,
# where names alone tell no more. AffinityNet's files are alike whichever of the three wrote them.
RECIPES = {
    ("sbnet-resnet38", "sbnet"): "voc12-resnet38",
    ("sbnet-resnet38", "seam"): "voc12-resnet38-seam",
    ("sbnet-resnet38", "cam"): "voc12-resnet38-psa",
    ("deeplabv2-resnet101", ""): "voc12-resnet38",
}


def segmenter_name(state: Mapping[str, Tensor]) -> str:
    """The reference's segmenter that the names of a file tell, as `network_from` takes it; '' for all else."""
    if FOV_MARK in state:
        return "deeplabv2-resnet38"
    return "deeplabv2-resnet101" if {our_name(name) for name in state} >= PYRAMID_MARKS else ""


def recipe_of(name: str, method: str, state: Mapping[str, Tensor]) -> str:
    """The recipe of ours with the settings of the scripts that write such files of the network `name`; '' where none is
    known. `method`: a CAM network's, else ''.
    """
    if IRN_MARK in state:
        return "voc12-resnet50-irn"
    return "voc12-resnet38-seam" if FOV_MARK in state else RECIPES.get((name, method), "")
