"""Networks of other implementations: what the names in a file tell, and which network of ours each one is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from sbnet.compat.irn_names import IRN_MARK
from sbnet.compat.names import FOV_MARK


class Origin(NamedTuple):
    """A published network. title: in messages. network: ours, FAMILY-BACKBONE. recipe: ours with the settings of the
    scripts that write such files, '' where the names do not say. options: what `build` needs in addition to the name.
    needs, usual: options that a network of ours must have to be written for them, and those that it must not set to
    another value. background: whether the classifier has this channel. prefix: of their names.
    """

    title: str
    network: str
    recipe: str = ""
    options: Mapping[str, Any] = {}
    needs: Mapping[str, Any] = {}
    usual: Mapping[str, Any] = {}
    background: bool = True
    prefix: str = ""


IRN_OPTIONS = {"stride": 16, "dilate": False}
ORIGINS = {
    "sbnet": Origin(
        *("SBNet's CAM network", "sbnet-resnet38", "voc12-resnet38"),
        usual={"boundary_channels": 32, "canny_scale": 1},
    ),
    "seam": Origin("SEAM's CAM network", "seam-resnet38", "voc12-resnet38-seam"),
    "psa": Origin("PSA's CAM network", "cam-resnet38", "voc12-resnet38-psa", background=False),
    "irn": Origin(
        *("IRN's CAM network", "cam-timm:resnet50", "voc12-resnet50-irn"),
        options=IRN_OPTIONS,
        needs=IRN_OPTIONS,
        background=False,
    ),
    "irn-second": Origin(
        *("IRN's second network", "irn-timm:resnet50", "voc12-resnet50-irn"), options=IRN_OPTIONS
    ),
    "affinity": Origin("PSA's or SEAM's AffinityNet", "affinitynet-resnet38"),
    "deeplab": Origin(
        *("DeepLab v2", "deeplabv2-resnet101", "voc12-resnet38"),
        usual={"head": "pyramid", "project": 0},
        prefix="base.",
    ),
    "deeplabv1": Origin(
        *("SEAM's segmenter", "deeplabv2-resnet38", "voc12-resnet38-seam"),
        options={"head": "large_fov", "fov_norm": "batch", "scales": (1.0,)},
        needs={"fov_norm": "batch"},
        prefix="backbone.",
    ),
}
# Parts that SEAM's CAM network has over PSA's, and SBNet's over SEAM's.
CORRELATION = ("f8_3", "f8_4", "f9")
BOUNDARY = ("edge_layer", "fuse_canny_edge")
# The first of these parts that a file has -> family.
FAMILIES = (
    (("f8_5",), "affinitynet"),
    (BOUNDARY, "sbnet"),
    (CORRELATION, "seam"),
    (("fc8",), "cam"),
    (("displacement_head",), "irn"),
    (("aspp", "fov"), "deeplabv2"),
)
BACKBONES = {"conv1a.weight": "resnet38", "layer2.block1.reduce.conv.weight": "resnet101"}
CLASSIFIERS = ("aspp.c0.bias", "fov.7.bias")


def family_of(tensors: Collection[str]) -> str:
    """The family that the names tell (ours, see `rename`); '' where they tell none."""
    parts = {name.partition(".")[0] for name in tensors}
    return next((family for marks, family in FAMILIES if parts & set(marks)), "")


def identify(state: Collection[str], tensors: Collection[str]) -> Origin | None:
    """The published network that the names in a file (`state`), and ours of them (`tensors`), tell."""
    backbone = next((name for mark, name in BACKBONES.items() if mark in tensors), "")
    if IRN_MARK in state:
        backbone = "timm:resnet50"
    if "fov.0.weight" in tensors and FOV_MARK not in state:
        return None  # a head of ours, whose norms may be others
    name = f"{family_of(tensors)}-{backbone}"
    return next((origin for origin in ORIGINS.values() if origin.network == name), None)


def count_classes(tensors: Mapping[str, Tensor]) -> int | None:
    """Classes of a file's classifier, with background; None where it has none (AffinityNet, IRN's second network)."""
    # A single number is not a classifier; loading refuses it because of its shape.
    rows = {name: value.shape[0] for name, value in tensors.items() if value.ndim}
    if "fc8.weight" in rows:
        return rows["fc8.weight"] + (
            family_of(tensors) == "cam"
        )  # PSA's and IRN's lack the background channel
    return next((rows[name] for name in CLASSIFIERS if name in rows), None)
