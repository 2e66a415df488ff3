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
    return SBNetError(f"{where(dotted)}{_message(first, kind, names, dotted)}")


def _message(error: Any, kind: type[Settings], names: Sequence[str], dotted: str) -> str:
    section = _section(kind, names[:-1])
    if error["type"] == "extra_forbidden":
        return unknown_key(dotted, section.model_fields, sections(section))
    if error["type"] == "missing" and isinstance(error["loc"][-1], int):
        count = len(typing.get_args(section.model_fields[names[-1]].annotation))
        return f"{dotted} has {error['loc'][-1]}; expected {count} numbers"
    if error["type"] == "missing":
        return f"{dotted} is required"
    expected = _expected(error, _section(kind, names))
    if error["type"] == "value_error" and isinstance(error["input"], Mapping | Settings):
        return f"{dotted}.{expected}"  # of a whole section: the message names the setting
    return f"{dotted} is {shortened(error['input'])}; {expected[:1].lower()}{expected[1:]}{_near(error)}"


def _expected(error: Any, section: type[Settings]) -> str:
    """section: the settings that the value should be, where it should be a section."""
    what, _, problem = error["type"].partition("_")
    if what == "too" and problem in ("long", "short"):
        bound, key = ("at most", "max_length") if problem == "long" else ("at least", "min_length")
        return f"expected {bound} {error['ctx'][key]} values"
    if error["type"] == "model_type":
        return f"expected settings such as '{next(iter(section.model_fields))}'"
    if what in PLAIN and problem in ("parsing", "type", "from_float"):
        return f"expected {PLAIN[what]}"
    return str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")


def _near(error: Any) -> str:
    if error["type"] != "literal_error":
        return ""
    choices = error["ctx"]["expected"].replace(" or ", ",").split(",")
    return did_you_mean(str(error["input"]), [word.strip("' ") for word in choices])


def shortened(value: Any) -> str:
    """A value as it may stand in a message."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


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


def _section(kind: type[Settings], names: Sequence[str]) -> type[Settings]:
    """The settings under these names, as far as they are sections."""
    for name in names:
        kind = sections(kind).get(name, kind)
    return kind


def sections(kind: type[Settings]) -> dict[str, type[Settings]]:
    """Field -> settings, of those that hold a section."""
    types = ((name, info.annotation) for name, info in kind.model_fields.items())
    return {name: kind for name, kind in types if isinstance(kind, type) and issubclass(kind, Settings)}
