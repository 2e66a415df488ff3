"""The header of a model file: what builds the network again, and what it is. Read without trusting it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sbnet.backbones.network import Network
from sbnet.backbones.normalization import Normalization
from sbnet.backbones.options import in_words
from sbnet.data import IGNORE

FORMAT = "1"


class _Recipe(BaseModel):
    data: dict[str, Any] = {}


class _Meta(BaseModel):
    """The entries of `meta` that we read; others may be added."""

    model_config = ConfigDict(extra="allow")

    classes: Annotated[list[str], Field(max_length=IGNORE)] = []
    predict: dict[str, Any] = {}
    recipe: _Recipe = _Recipe()


class Header(BaseModel):
    """name, classes, options: arguments of `build`. meta: class names, recipe, and whatever else was given."""

    name: str
    classes: Annotated[int, Field(ge=1, le=IGNORE)]  # class ids are bytes below that of ignored pixels
    options: dict[str, Any]
    normalization: Normalization
    meta: dict[str, Any]

    @model_validator(mode="after")
    def _meta_fits(self) -> Header:
        named = len(_Meta.model_validate(self.meta, strict=True).classes)
        if named not in (0, self.classes):
            raise ValueError(f"{named} class names for {self.classes} classes")
        return self


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


def parse_header(text: str) -> Header:
    """A header of this format, from JSON. Raises ValueError that names each value that is not allowed.

    `build` checks the options, whoever predicts the prediction settings of a segmenter.
    """
    try:
        return Header.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(in_words(error)) from error
