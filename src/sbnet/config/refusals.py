"""The message about a value that pydantic refuses: place, key, value, what it should be."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from sbnet.errors import SBNetError, did_you_mean
from sbnet.settings import Settings

Where = Callable[[str], str]  # dotted key -> "file.yaml, line 7: "
LONGEST = 60  # characters of a value in a message
# What is expected, by the beginning of pydantic's kinds of errors, where its own words are a programmer's.
PLAIN = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
}


def refusal(error: ValidationError, kind: type[Settings], where: Where, key: str) -> SBNetError:
    """The first of the errors that `kind`, the model of the section `key`, has raised."""
    first = error.errors(include_url=False)[0]
    names = [str(part) for part in first["loc"] if isinstance(part, str)]
    dotted = ".".join([key, *names])
    if first["type"] == "extra_forbidden":
        parent = kind
        for name in names[:-1]:
            parent = section_model(parent, name) or parent
        return SBNetError(f"{where(dotted)}{unknown_key(dotted, parent.model_fields, sections(parent))}")
    message = _expected(first, kind, names)
    if first["type"] == "missing" and isinstance(first["loc"][-1], int):
        count = len(typing.get_args(_field(kind, names)))
        return SBNetError(f"{where(dotted)}{dotted} has {first['loc'][-1]}; expected {count} numbers")
    if first["type"] == "missing":
        return SBNetError(f"{where(dotted)}{dotted} is required")
    if first["type"] == "value_error" and isinstance(
        first["input"], Mapping | Settings
    ):  # of a whole section: the message names the setting
        return SBNetError(f"{where(dotted)}{dotted}.{message}")
    return SBNetError(
        f"{where(dotted)}{dotted} is {shortened(first['input'])}; {message[:1].lower()}{message[1:]}{_near(first)}"
    )


def _field(kind: type[Settings], names: Sequence[str]) -> Any:
    """The type of a field, by its name within a section's."""
    for name in names[:-1]:
        kind = section_model(kind, name) or kind
    return kind.model_fields[names[-1]].annotation


def shortened(value: Any) -> str:
    """A value as it may stand in a message."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _expected(error: Any, kind: type[Settings], names: Sequence[str]) -> str:
    if error["type"] in ("too_long", "too_short"):
        bound = "at most" if error["type"] == "too_long" else "at least"
        count = error["ctx"]["max_length" if error["type"] == "too_long" else "min_length"]
        return f"expected {bound} {count} values"
    if error["type"] == "model_type":
        for name in names:
            kind = section_model(kind, name) or kind
        return f"expected settings such as '{next(iter(kind.model_fields))}'"
    what, _, problem = error["type"].partition("_")
    if what in PLAIN and problem in ("parsing", "type", "from_float"):
        return f"expected {PLAIN[what]}"
    return str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")


def _near(error: Any) -> str:
    if error["type"] != "literal_error":
        return ""
    choices = error["ctx"]["expected"].replace(" or ", ",").split(",")
    return did_you_mean(str(error["input"]), [word.strip("' ") for word in choices])


def unknown_key(dotted: str, known: Iterable[str], below: Mapping[str, type[Settings]]) -> str:
    """What is said of a key that is none of `known`: the nearest one, or those of its name in the sections `below`."""
    parent, _, name = dotted.rpartition(".")
    place = f"'{parent}' has no setting '{name}'" if parent else f"there is no setting '{name}'"
    same = [f"'{key}'" for key in _found(name, below, f"{parent}." if parent else "")]
    near = f" (did you mean {' or '.join(same)}?)" if same else did_you_mean(name, known)
    return f"{place}{near}; available: {', '.join(known)}"


def _found(name: str, models: Mapping[str, type[Settings]], above: str) -> Iterator[str]:
    for key, model in models.items():
        if name in model.model_fields:
            yield f"{above}{key}.{name}"
        yield from _found(name, sections(model), f"{above}{key}.")


def section_model(kind: type[Settings], name: str) -> type[Settings] | None:
    """The settings that a field holds, where it holds a section."""
    info = kind.model_fields.get(name)
    annotation = info.annotation if info else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Settings) else None


def sections(kind: type[Settings]) -> dict[str, type[Settings]]:
    """Field -> settings, of those that hold a section."""
    found = {name: section_model(kind, name) for name in kind.model_fields}
    return {name: model for name, model in found.items() if model is not None}
