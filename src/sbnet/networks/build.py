"""Networks by name: FAMILY-BACKBONE. Families are those that methods register."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.backbones.options import OPTIONS, checked
from sbnet.backbones.resnet38 import ResNet38
from sbnet.backbones.resnet101 import ResNet101
from sbnet.backbones.timm_cnn import TimmCnn
from sbnet.backbones.timm_models import pretrained_state
from sbnet.backbones.timm_vit import TimmVit, is_vit
from sbnet.backbones.weights import LITES, fit_backbone, lite_path
from sbnet.compat.state_file import read_state
from sbnet.errors import SBNetError, did_you_mean
from sbnet.registry import METHODS, PACKAGE

REFERENCE: dict[str, Callable[..., Backbone]] = {"resnet38": ResNet38, "resnet101": ResNet101}
BACKBONES = (*REFERENCE, *LITES)


def families() -> dict[str, str]:
    """Family of networks -> `module:class`."""
    return {family: place for method in METHODS.entries() for family, place in method.networks.items()}


def network_class(family: str) -> type[Network]:
    """SBNetError where no method has that family."""
    known = families()
    if family not in known:
        near = did_you_mean(family, known)
        raise SBNetError(f"there is no family of networks '{family}'{near}; available: {', '.join(known)}")
    found: type[Network] = pkgutil.resolve_name(known[family])
    return found


def model_names() -> list[str]:
    """Every name that `build` takes, but for timm's."""
    return [f"{family}-{backbone}" for family in families() for backbone in BACKBONES]


def build(name: str, classes: int = 21, *, weights: str = "auto", **options: Any) -> Network:
    """A network by name, 'FAMILY-BACKBONE', in training mode.

    FAMILY: a family of `families()`, such as 'sbnet'.
    BACKBONE: 'resnet38', 'resnet101' (the published networks', output stride 8), 'lite0', 'lite2' (the
    EfficientNet-Lites), 'timm:NAME' (CNNs and vision transformers).
    `weights` of the backbone: 'auto' (the Lites' from their pip packages, timm's own for timm:NAME, else none), 'none',
    'file:PATH' (.safetensors, .pth of tensors alone, or MXNet's .params), or 'timm:NAME' (downloaded by timm).
    `options`: `stride`, `freeze` and `dilate` of the backbone, and the keywords of the network's class. Over published
    backbones these default to the published values, over others to the class's `own_defaults`.
    Raises SBNetError for an unknown name, option or weights, values that are not allowed, a backbone that lacks what
    the heads read, and weights that do not fit.
    """
    family, chosen, own, head = _parsed(name, options)
    network = family(build_backbone(chosen, weights=weights, **own), classes, **head)
    network.name = name
    network.options = {**own, **head}
    return network.train()


def outline(name: str, classes: int = 21, **options: Any) -> Network:
    """The network that `build` would make, to look at: no random draws, and no memory for weights, but for those of a
    backbone or of a plug-in's heads that compute with their first ones. Errors as in `build`, but for weights.
    """
    family, chosen, own, head = _parsed(name, options)
    with torch.random.fork_rng(devices=[]):
        backbone = _without_memory(chosen, tuple(own.items())) or build_backbone(
            chosen, weights="none", **own
        )
        try:
            with torch.device("meta"):
                return family(backbone, classes, **head)
        except Exception:
            if family.__module__.partition(".")[0] == PACKAGE:  # ours compute with none: an option is wrong
                raise
            return family(backbone, classes, **head)


def build_backbone(chosen: str, *, weights: str = "auto", **options: Any) -> Backbone:
    """A backbone by name, with weights and options as in `build`, and errors as there."""
    if not _is_backbone(chosen):
        near = did_you_mean(chosen, BACKBONES)
        raise SBNetError(f"no backbone '{chosen}'{near}; available: {', '.join(BACKBONES)}, timm:NAME")
    kind, _, source = weights.partition(":")
    if weights not in ("auto", "none") and not (kind in ("file", "timm") and source):
        near = did_you_mean(weights, ["auto", "none"])
        raise SBNetError(f"no weights '{weights}'{near}; give auto, none, file:PATH or timm:NAME")
    if chosen in REFERENCE:
        if kind == "timm":
            raise SBNetError(
                f"{chosen} is not a model of timm's: no weights '{weights}'; give none or file:PATH"
            )
        backbone = _resnet(chosen, options)
    else:
        timm_name = LITES[chosen].timm_name if chosen in LITES else chosen.removeprefix("timm:")
        make = TimmVit if is_vit(timm_name) else TimmCnn
        backbone = make(timm_name, pretrained=weights == "auto" and chosen not in LITES, **options)
    if kind == "timm":
        fit_backbone(backbone, pretrained_state(source), weights)
    elif kind == "file" or (chosen in LITES and weights == "auto"):
        path = Path(source) if source else lite_path(chosen)
        fit_backbone(backbone, read_state(path), path)
    return backbone


def same_backbone(one: str, other: str) -> bool:
    """Whether two names are of one architecture: the Lites are timm's, and timm's names may end in a tag of weights."""
    first, second = (
        f"timm:{LITES[name].timm_name}" if name in LITES else name.partition(".")[0] for name in (one, other)
    )
    return first == second


def _parsed(name: str, options: dict[str, Any]) -> tuple[type[Network], str, dict[str, Any], dict[str, Any]]:
    """Class, backbone, the backbone's options, the heads'."""
    family, _, chosen = name.partition("-")
    if family not in families() or not _is_backbone(chosen):
        near = did_you_mean(name, model_names())
        raise SBNetError(
            f"no network '{name}'{near}; available: {', '.join(model_names())}, FAMILY-timm:NAME"
        )
    cls = network_class(family)
    types = OPTIONS | cls.option_types()
    for option in options:
        if option not in types:
            near = did_you_mean(option, types)
            raise SBNetError(f"{name} has no option '{option}'{near}; it has {', '.join(types)}")
    try:
        options = checked(options, types)
    except ValueError as error:
        raise SBNetError(f"{name}: {error}") from error
    own = {key: value for key, value in options.items() if key in OPTIONS}
    head = {key: value for key, value in options.items() if key not in OPTIONS}
    return cls, chosen, own, head if chosen in REFERENCE else {**cls.own_defaults, **head}


def _is_backbone(chosen: str) -> bool:
    return chosen in BACKBONES or chosen.startswith("timm:")


def _resnet(chosen: str, options: dict[str, Any]) -> Backbone:
    if options.pop("stride", 8) != 8:
        raise SBNetError(f"{chosen} has output stride 8; leave out `stride`, or set it to 8")
    if not options.pop("dilate", True):
        raise SBNetError(f"{chosen} is dilated; leave out `dilate`, or choose timm:resnet50")
    return REFERENCE[chosen](**options)


@lru_cache(maxsize=4)  # one serves all networks of a run
def _without_memory(chosen: str, options: tuple[tuple[str, Any], ...]) -> Backbone | None:
    """A backbone to look at; None where it cannot be made without memory for its weights, as it computes with them."""
    try:
        with torch.device("meta"):
            return build_backbone(chosen, weights="none", **dict(options))
    except Exception:  # whatever is wrong with name or options is reported when it is built
        return None
