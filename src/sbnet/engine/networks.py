"""Networks by name: FAMILY-BACKBONE."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sbnet.errors import SBNetError, did_you_mean
from sbnet.backbones.weights import LITES, fit_backbone, lite_path, lite_state
from sbnet.compat.state_file import read_state
from sbnet.methods.affinitynet.network import AffinityNetwork
from sbnet.methods.cam.network import CamNetwork
from sbnet.segmenters.decoders import DeepLabV3Plus, SegFormer, UPerNet
from sbnet.segmenters.deeplab import DeepLab
from sbnet.methods.irn.network import IrnNetwork
from sbnet.backbones.network import Backbone, Network
from sbnet.backbones.options import OPTIONS, refusals
from sbnet.backbones.resnet38 import ResNet38
from sbnet.backbones.resnet101 import ResNet101
from sbnet.segmenters.segmenter import Segmenter
from sbnet.backbones.timm_backbone import TimmBackbone, pretrained_state

SEGMENTERS: dict[str, type[Segmenter]] = {
    "deeplabv2": DeepLab,
    "deeplabv3plus": DeepLabV3Plus,
    "upernet": UPerNet,
    "segformer": SegFormer,
}
FAMILIES: dict[str, Callable[..., Network]] = {
    "sbnet": CamNetwork,
    "affinitynet": AffinityNetwork,
    "irn": IrnNetwork,
    **SEGMENTERS,
}
REFERENCE: dict[str, Callable[..., Backbone]] = {"resnet38": ResNet38, "resnet101": ResNet101}
OF_BACKBONE = ("stride", "freeze", "dilate")  # options
BACKBONES = (*REFERENCE, *LITES)
# Where no reference binds us: a lighter boundary head, trained as the new layers that it is; affinities that start in
# the middle of their range; one scale; decoders that take no more time than the small backbones.
OUR_DEFAULTS: dict[str, dict[str, Any]] = {
    "sbnet": {"dropout": 0.2, "boundary_channels": 16, "canny_scale": 1 / 255, "boundary_is_new": True},
    "affinitynet": {"gain": 1.0},
    "irn": {},
    "deeplabv2": {"scales": (1.0,), "project": 256},
    "deeplabv3plus": {"channels": 128},
    "upernet": {"channels": 64},
    "segformer": {"channels": 128},
}


def build(
    name: str,
    classes: int = 21,
    *,
    weights: str = "auto",
    check: Callable[[Network], None] | None = None,
    **options: Any,
) -> Network:
    """A network by name, 'FAMILY-BACKBONE', in training mode.

    FAMILY: 'sbnet' (CAM network), 'affinitynet', 'irn'; the segmenters 'deeplabv2', 'deeplabv3plus', 'upernet',
    'segformer'.
    BACKBONE: 'resnet38', 'resnet101' (the reference's, output stride 8), 'lite0', 'lite2' (the
    EfficientNet-Lites), 'timm:NAME'.
    `weights` of the backbone: 'auto' (the Lites' from their pip packages, timm's own for timm:NAME, else
    none), 'none', 'file:PATH' (.safetensors, .pth of tensors alone, or MXNet's .params), or 'timm:NAME' (downloaded by
    timm).
    `options`: `stride` (8 or 16), `freeze` and `dilate` of the backbone, and the keywords of the network's class.
    Reference backbones default to the reference's values, the others to `OUR_DEFAULTS`.
    `check` is given the network before it has memory, and raises to refuse it: for names and options from a file that
    may not be trusted. (Backbones of timm's that cannot be made without memory have it then.)
    Raises SBNetError for an unknown name, option or weights, values out of `OPTIONS`, and weights that do not fit.
    """
    family, _, chosen = name.partition("-")
    if family not in FAMILIES or not (chosen in BACKBONES or chosen.startswith("timm:")):
        near = did_you_mean(name, model_names())
        raise SBNetError(f"no network '{name}'{near}; known are {', '.join(model_names())}, FAMILY-timm:NAME")
    _check_options(name, FAMILIES[family], options)
    own: dict[str, Any] = {key: options[key] for key in OF_BACKBONE if key in options}
    rest = {key: value for key, value in options.items() if key not in own}
    head = rest if chosen in REFERENCE else {**OUR_DEFAULTS[family], **rest}
    outline = None
    if check is not None:
        if family in SEGMENTERS:
            SEGMENTERS[family].check_installed()  # nothing is to be imported under another default device
        outline = _outline(chosen, own)
        if outline is not None:
            check(_without_memory(family, outline, classes, head))
    backbone = build_backbone(chosen, weights=weights, **own)
    if check is not None and outline is None:
        check(_without_memory(family, backbone, classes, head))
    network = FAMILIES[family](backbone, classes, **head)
    network.name = name
    network.options = {**own, **head}
    return network.train()


def _outline(chosen: str, options: dict[str, Any]) -> Backbone | None:
    """The backbone without memory for its weights; None where it cannot be made so, as it computes with them."""
    try:
        with torch.device("meta"):
            return build_backbone(chosen, weights="none", **options)
    except Exception:  # whatever is wrong with name or options is told when it is built
        return None


def _without_memory(family: str, backbone: Backbone, classes: int, head: dict[str, Any]) -> Network:
    """The network whose heads have no memory for their weights."""
    with torch.device("meta"):
        return FAMILIES[family](backbone, classes, **head)


def same_backbone(one: str, other: str) -> bool:
    """Whether two names are of one architecture: the Lites are timm's, and timm's names may end in a tag of weights."""
    first, second = (
        f"timm:{LITES[name].timm_name}" if name in LITES else name.partition(".")[0] for name in (one, other)
    )
    return first == second


def model_names() -> list[str]:
    """Every name that `build` takes, but for timm's."""
    return [f"{family}-{backbone}" for family in FAMILIES for backbone in BACKBONES]


def _check_options(name: str, family: Callable[..., Network], options: dict[str, Any]) -> None:
    parameters = inspect.signature(family).parameters.values()
    known = [*OF_BACKBONE, *(one.name for one in parameters if one.kind is one.KEYWORD_ONLY)]
    for option in options:
        if option not in known:
            near = did_you_mean(option, known)
            raise SBNetError(f"{name} has no option '{option}'{near}; it has {', '.join(known)}")
    if wrong := refusals(options, OPTIONS):
        raise SBNetError(f"{name}: {'; '.join(wrong)}")


def build_backbone(chosen: str, *, weights: str = "auto", **options: Any) -> Backbone:
    """A backbone by name, with weights and options as in `build`, and errors as there."""
    if not (chosen in BACKBONES or chosen.startswith("timm:")):
        near = did_you_mean(chosen, BACKBONES)
        raise SBNetError(f"no backbone '{chosen}'{near}; known are {', '.join(BACKBONES)}, timm:NAME")
    path = Path(weights.removeprefix("file:")) if weights.startswith("file:") else None
    hub = weights.removeprefix("timm:") if weights.startswith("timm:") else None
    if path is None and hub is None and weights not in ("auto", "none"):
        near = did_you_mean(weights, ["auto", "none"])
        raise SBNetError(f"no weights '{weights}'{near}; give auto, none, file:PATH or timm:NAME")
    if hub is not None:
        if chosen in REFERENCE:
            raise SBNetError(
                f"{chosen} is no model of timm's: no weights '{weights}'; give none or file:PATH"
            )
        empty = build_backbone(chosen, weights="none", **options)
        assert isinstance(empty, TimmBackbone)
        fit_backbone(empty.net, pretrained_state(hub), Path(weights))
        return empty
    if chosen in LITES:
        lite = TimmBackbone(LITES[chosen].timm_name, **options)
        if weights != "none":
            path = path or lite_path(chosen)
            fit_backbone(lite.net, lite_state(chosen, path), path)
        return lite
    if chosen in REFERENCE:
        if options.pop("stride", 8) != 8:
            raise SBNetError(f"{chosen} has output stride 8; leave out `stride`, or set it to 8")
        if not options.pop("dilate", True):
            raise SBNetError(f"{chosen} is dilated; leave out `dilate`, or take timm:resnet50")
        backbone = REFERENCE[chosen](**options)
        if path:
            fit_backbone(backbone, read_state(path), path)
        return backbone
    timm_backbone = TimmBackbone(chosen.removeprefix("timm:"), pretrained=weights == "auto", **options)
    if path:
        fit_backbone(timm_backbone.net, read_state(path), path)
    return timm_backbone
