"""Options of backbones and networks: keywords whose values are held to their types, wherever they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

# Options of backbones; those of networks are in their constructors. Some values are refused by the backbone itself.
OPTIONS: dict[str, Any] = {
    "stride": Annotated[int, Field(ge=1, le=64)],
    "freeze": Annotated[int, Field(ge=-1000, le=1000)],
    "dilate": bool,
}
LISTED = 3  # wrong values in a message


def checked(values: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """Values as their types, by name, read them from JSON, in which model files keep them. Raises ValueError that names
    each value that is not allowed.
    """
    found, wrong = {}, []
    for name, value in values.items():
        try:
            found[name] = TypeAdapter(types[name]).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            wrong.append(f"{name}={value!r:.60}; {in_words(error)}")
        except TypeError as error:
            wrong.append(f"{name}={value!r:.60}; {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return found


def in_words(error: ValidationError) -> str:
    """What is wrong, with the place of each value inside the one that was checked."""
    found = []
    for one in error.errors(include_url=False)[:LISTED]:
        place = ".".join(map(str, one["loc"]))
        value = f"{place}={one['input']!r:.60}; " if place else ""
        found.append(value + one["msg"].removeprefix("Value error, ").replace("Input should be", "expected"))
    return "; ".join(found)
