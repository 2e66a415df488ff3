"""Our networks under the names of other implementations, as their scripts load them strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sbnet.compat.irn_names import cam_names
from sbnet.compat.names import FOV, our_name
from sbnet.compat.origins import BOUNDARY, CORRELATION, ORIGINS
from sbnet.errors import SBNetError, check_choice

# Networks that are part of another one -> what that one has in addition.
PARTS = {
    ("sbnet", "seam"): BOUNDARY,
    ("sbnet", "psa"): (*CORRELATION, *BOUNDARY),
    ("seam", "psa"): CORRELATION,
}
SMALLER = ("seam", "psa")
NOT_WRITTEN = ("irn-second",)


def target(name: str, options: Mapping[str, Any], *, to: str = "reference") -> tuple[str, tuple[str, ...]]:
    """The key in `ORIGINS` of the network that ours, `name` with `options`, is written as; our parts that it lacks.

    to: 'reference' for the one that equals ours, 'seam' or 'psa' for one that is part of it. Raises SBNetError where
    there is none.
    """
    check_choice("to", to, ("reference", *SMALLER))
    family, _, backbone = name.partition("-")
    plain = f"{family}-{backbone.partition('.')[0]}"  # any of timm's weights
    for key, origin in ORIGINS.items():
        fits = all(options.get(one) == value for one, value in origin.needs.items())
        usual = all(options.get(one, value) == value for one, value in origin.usual.items())
        if origin.network == plain and fits and usual and key not in NOT_WRITTEN:
            break
    else:
        known = ", ".join(_described(key) for key in ORIGINS if key not in NOT_WRITTEN)
        raise SBNetError(f"other implementations have no network like this {name}; theirs are {known}")
    if to in ("reference", key):
        return key, ()
    if (key, to) not in PARTS:
        raise SBNetError(f"{origin.title} does not contain {ORIGINS[to].title}; give --to reference")
    return to, PARTS[key, to]


def _described(key: str) -> str:
    origin = ORIGINS[key]
    options = " ".join(f"{name}={value}" for name, value in origin.needs.items())
    return f"{origin.network} with {options}" if options else origin.network


def outward_state(state: Mapping[str, Tensor], key: str, lacks: tuple[str, ...]) -> dict[str, Tensor]:
    """Our tensors under the names, and in the shapes, of `ORIGINS[key]`, without the parts that it `lacks`."""
    written: dict[str, Tensor] = {}
    for full, value in state.items():
        name = our_name(full)
        if name.partition(".")[0] in lacks:
            continue
        if name == "fc8.weight" and not ORIGINS[key].background:
            value = value[1:].clone()
        written |= dict.fromkeys(_names(name, key), value.contiguous())
    return written


def _names(name: str, key: str) -> list[str]:
    """The names in `ORIGINS[key]` of our tensor `name`."""
    if key == "irn":
        return cam_names(name)
    for part, ours in FOV.items() if key == "deeplabv1" else ():
        if name.startswith(f"{ours}."):
            return [f"{part}{name.removeprefix(ours)}"]
    return [f"{ORIGINS[key].prefix}{name}"]
