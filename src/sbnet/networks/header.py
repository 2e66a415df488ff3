"""The header of a model file: what builds the network again, and what it is. Read without trusting it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sbnet.backbones.network import Network
from sbnet.backbones.normalization import Normalization
from sbnet.backbones.options import Allowed, refusals
from sbnet.data import IGNORE

FORMAT = "1"
PARTS = {
    "name": Allowed(str),
    "classes": Allowed(int, 1, IGNORE),  # class ids are bytes below that of ignored pixels
    "options": Allowed(dict),
    "normalization": Allowed(dict),
    "meta": Allowed(dict),
}
NORMALIZATION = {
    "mean": Allowed(float, least=3, most=3),
    "std": Allowed(float, 1e-6, least=3, most=3),
    "scale": Allowed(float, 1e-9),
    "bgr": Allowed(bool),
}
# The entries of `meta` that we read; others may be added.
META = {
    "classes": Allowed(str, most=IGNORE),
    "predict": Allowed(dict),
    "recipe": Allowed(dict),
}
RECIPE = {"data": Allowed(dict)}


class Header(NamedTuple):
    """name, classes, options: arguments of `build`. meta: class names, recipe, and whatever else was given."""

    name: str
    classes: int
    options: dict[str, Any]
    normalization: Normalization
    meta: dict[str, Any]


def write_header(model: Network, meta: Mapping[str, Any]) -> str:
    """The text of the JSON that `parse_header` reads. Raises ValueError or TypeError for values that JSON lacks."""
    return json.dumps(
        {
            "format": FORMAT,
            "name": model.name,
            "classes": model.classes,
            "options": model.options,
            "normalization": dataclasses.asdict(model.normalization),
            "meta": meta,
        }
    )


def parse_header(found: Mapping[str, Any]) -> Header:
    """A header of this format, from JSON. Raises ValueError that names each value that is not allowed.

    `build` checks the options, whoever predicts the prediction settings of a segmenter.
    """
    _check("", found, PARTS, needed=True)
    kept, meta = found["normalization"], found["meta"]
    _check("normalization: ", kept, NORMALIZATION, needed=True)
    _check("meta: ", meta, META)
    _check("meta: recipe: ", meta.get("recipe", {}), RECIPE)
    named = len(meta.get("classes", ()))
    if named not in (0, found["classes"]):
        raise ValueError(f"{named} class names for {found['classes']} classes")
    normalization = Normalization(tuple(kept["mean"]), tuple(kept["std"]), kept["scale"], kept["bgr"])
    return Header(found["name"], found["classes"], found["options"], normalization, meta)


def _check(
    part: str, values: Mapping[str, Any], allowed: Mapping[str, Allowed], *, needed: bool = False
) -> None:
    if wrong := refusals(values, allowed, needed=allowed if needed else ()):
        raise ValueError("; ".join(f"{part}{one}" for one in wrong))
