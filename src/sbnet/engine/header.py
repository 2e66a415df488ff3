"""The header of a model file: what builds the network again, and what it is. Read without trusting it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sbnet import models
from sbnet.data import IGNORE
from sbnet.backbones.options import Allowed, refusals

FORMAT = "1"
PARTS = {
    "name": Allowed(str),
    "classes": Allowed(int, 1, IGNORE),  # ids are bytes below that of pixels of no class
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
# Of `meta` what somebody reads; it may hold anything else besides.
META = {
    "classes": Allowed(str, most=IGNORE),
    "method": Allowed(str, choices=("cam", "seam", "sbnet")),
    "canny": Allowed(str, choices=("photo", "normalized")),
    "predict": Allowed(dict),
    "recipe": Allowed(dict),
}
RECIPE = {"data": Allowed(dict)}


class Header(NamedTuple):
    """name, classes, options: what `models.build` takes. meta: class names, recipe, and what else was given."""

    name: str
    classes: int
    options: dict[str, Any]
    normalization: models.Normalization
    meta: dict[str, Any]


def write_header(model: models.Network, meta: Mapping[str, Any]) -> str:
    """The text that `parse_header` reads. Raises ValueError where that would refuse it."""
    text = json.dumps(
        {
            "format": FORMAT,
            "name": model.name,
            "classes": model.classes,
            "options": model.options,
            "normalization": dataclasses.asdict(model.normalization),
            "meta": meta,
        }
    )
    parse_header(json.loads(text))
    return text


def parse_header(found: Mapping[str, Any]) -> Header:
    """A header of this format, as JSON gave it. Raises ValueError that names each value that cannot be one's.

    Options are looked at by `models.build`, and a segmenter's prediction settings by whoever predicts.
    """
    _check(refusals(found, PARTS, needed=PARTS))
    kept, meta = found["normalization"], found["meta"]
    _check(_inside("normalization", refusals(kept, NORMALIZATION, needed=NORMALIZATION)))
    _check(_inside("meta", refusals(meta, META)))
    _check(_inside("meta: recipe", refusals(meta.get("recipe", {}), RECIPE)))
    named = len(meta.get("classes", ()))
    if named not in (0, found["classes"]):
        raise ValueError(f"{named} class names for {found['classes']} classes")
    normalization = models.Normalization(tuple(kept["mean"]), tuple(kept["std"]), kept["scale"], kept["bgr"])
    return Header(found["name"], found["classes"], found["options"], normalization, meta)


def _inside(part: str, wrong: Iterable[str]) -> list[str]:
    return [f"{part}: {one}" for one in wrong]


def _check(wrong: list[str]) -> None:
    if wrong:
        raise ValueError("; ".join(wrong))
