"""Our networks as files that the reference implementations' scripts load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sbnet import models
from sbnet.data.io.files import atomic_write
from sbnet.errors import SBNetError, check_choice
from sbnet.engine.model_file import load_model
from sbnet.engine.convert import IRN_OPTIONS, Conversion, check_weights_target
from sbnet.compat.irn_names import cam_names
from sbnet.compat.reference import BOUNDARY, CORRELATION
from sbnet.compat.reference_names import FOV, our_name

# Whose network -> the parts of our CAM network that it has not.
WITHOUT: dict[str, tuple[str, ...]] = {
    "sbnet": (),
    "seam": BOUNDARY,
    "psa": (*CORRELATION, *BOUNDARY),
    "irn": (*CORRELATION, *BOUNDARY),
    "affinity": (),
    "deeplab": (),
    "deeplabv1": (),
}
FOREGROUND_ONLY = ("psa", "irn")  # their classifiers have no background channel
SMALLER = {"sbnet": ("seam", "psa"), "seam": ("psa",)}  # networks that another one contains


def write_reference(source: Path | str, out: Path | str, *, style: str = "reference") -> Conversion:
    """Write our model file `source` under the reference's names, as a .pth that its scripts load strictly.

    `style`: whose network: 'sbnet', 'seam', 'psa' or 'irn' for a CAM network, 'affinity', 'deeplab', 'deeplabv1' (the
    segmenter that SEAM trains); 'reference': by what it is and how it was trained. Raises SBNetError for a network that
    the reference has not, and for an `out` that is no .pth or .pt or is `source`.
    """
    source, out = Path(source), Path(out)
    check_weights_target(source, out, ".pth", ".pt")
    check_choice("to", style, ("reference", *WITHOUT))
    model, meta = load_model(source)
    found = _style(source, model, meta)
    style = found if style == "reference" else style
    if style not in (found, *SMALLER.get(found, ())):
        raise SBNetError(f"{source}: a network like {found}'s, not like {style}'s; give --to reference")
    state = reference_state(model, style)
    with atomic_write(out) as temporary:
        torch.save(state, temporary)
    notes = []
    if WITHOUT[style]:
        notes.append(f"left out, as {style} has no such part: {', '.join(WITHOUT[style])}")
    if style in FOREGROUND_ONLY:
        notes.append(f"left out, as {style} has no such class: the background channel of fc8")
    return Conversion(out, f"{model.name} as {style}'s", len(state), notes)


def reference_state(model: models.Network, style: str) -> dict[str, Tensor]:
    """The network's tensors under the names, and in the shapes, that the reference of `style` has for them."""
    state: dict[str, Tensor] = {}
    for full, value in model.state_dict().items():
        name = our_name(full)
        if name.partition(".")[0] in WITHOUT[style]:
            continue
        if name == "fc8.weight" and style in FOREGROUND_ONLY:
            value = value[1:].clone()
        state |= dict.fromkeys(_names(name, style), value.contiguous())
    return state


def _names(name: str, style: str) -> list[str]:
    """What the reference of `style` calls our tensor `name`."""
    if style == "irn":
        return cam_names(name)
    if style == "deeplab":
        return [f"base.{name}"]
    if style == "deeplabv1":
        theirs = (
            f"{part}{name.removeprefix(ours)}" for part, ours in FOV.items() if name.startswith(f"{ours}.")
        )
        return [next(theirs, f"backbone.{name}")]
    return [name]


def _style(source: Path, model: models.Network, meta: Mapping[str, Any]) -> str:
    """Whose network it is; SBNetError where it is nobody's."""
    family, _, backbone = model.name.partition("-")
    options = model.options
    if (family, backbone) == ("sbnet", "resnet38") and (
        options.get("boundary_channels", 32) == 32 and options.get("canny_scale", 1) == 1
    ):
        return {"cam": "psa"}.get(str(meta.get("method")), str(meta.get("method", "sbnet")))
    if (family, backbone.partition(".")[0]) == ("sbnet", "timm:resnet50") and (  # any of timm's weights
        options.get("stride") == IRN_OPTIONS["stride"] and options.get("dilate") is False
    ):
        return "irn"
    if (family, backbone) == ("affinitynet", "resnet38"):
        return "affinity"
    if (family, backbone) == ("deeplabv2", "resnet101") and not (
        options.get("project") or options.get("head") == "large_fov"
    ):
        return "deeplab"
    if (family, backbone) == ("deeplabv2", "resnet38") and options.get("fov_norm") == "batch":
        return "deeplabv1"
    raise SBNetError(
        f"{source}: the reference implementations have no network like this {model.name}; theirs are sbnet-resnet38, "
        "affinitynet-resnet38, deeplabv2-resnet101, deeplabv2-resnet38 as converted from SEAM's, and "
        "sbnet-timm:resnet50 with stride 16 and without dilation"
    )
