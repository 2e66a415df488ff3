"""Plain YAML values and `key=value` strings -> typed, frozen dataclasses, strictly; and back."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sbnet.errors import SBNetError, did_you_mean

Settings = TypeVar("Settings")
TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
Where = Callable[[str], str]  # dotted key -> "file.yaml, line 7: "


def build(kind: type[Settings], values: Mapping[str, Any], where: Where, key: str = "") -> Settings:
    """`kind(**values)`, nested dataclasses and tuples too. `where` says the place of a dotted key.

    Raises SBNetError naming place, key and value for an unknown key, a wrong type, or what
    `kind` itself refuses.
    """
    types_of = field_types(kind)
    arguments = {}
    for name, value in values.items():
        dotted = f"{key}.{name}" if key else str(name)
        if name not in types_of:
            raise SBNetError(f"{where(dotted)}{unknown_key(dotted, types_of)}")
        arguments[name] = convert(value, types_of[name], where, dotted)
    try:
        return kind(**arguments)
    except SBNetError as error:
        raise _refused(error, types_of, where, key) from error


def _refused(error: SBNetError, names: typing.Container[str], where: Where, key: str) -> SBNetError:
    """What a dataclass says of its own values, `method: ...`, with the place and the whole key."""
    head, colon, rest = str(error).partition(":")
    name = head.rpartition(".")[2]
    if colon and name in names:
        dotted = f"{key}.{name}" if key else name
        return SBNetError(f"{where(dotted)}{dotted}:{rest}")
    return SBNetError(f"{where(key)}{error}")


def unknown_key(dotted: str, types_of: Mapping[str, Any]) -> str:
    """What is said of a key that is none of `types_of`: the nearest one, or those of that name in its sections."""
    parent, _, name = dotted.rpartition(".")
    place = f"'{parent}' has no setting '{name}'" if parent else f"there is no setting '{name}'"
    sections = [key for key, kind in types_of.items() if dataclasses.is_dataclass(kind)]
    below = [f"'{key}.{name}'" for key in sections if name in field_types(types_of[key])]
    near = f" (did you mean {' or '.join(below)}?)" if below else did_you_mean(name, types_of)
    return f"{place}{near}; it may be one of {', '.join(types_of)}"


def field_types(kind: Any) -> dict[str, Any]:
    """Field name -> type of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def convert(value: Any, kind: Any, where: Where, key: str) -> Any:
    """`value` as `kind`: str, int, float, bool, tuple or a dataclass."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise _wrong(
                value,
                f"settings such as '{next(iter(field_types(kind)))}'",
                where,
                key,
            )
        return build(typing.cast(type, kind), value, where, key)
    if typing.get_origin(kind) is tuple:
        return _tuple(value, typing.get_args(kind), where, key)
    result = _SCALARS[kind](value)
    if result is None:
        raise _wrong(value, describe(kind), where, key)
    return result


def _tuple(value: Any, kinds: tuple[Any, ...], where: Where, key: str) -> tuple[Any, ...]:
    """From a YAML list, `"1,1.5"` or `"[1, 1.5]"`; a lone number is a tuple of one where that may be."""
    items = value
    if isinstance(value, str):
        items = [item.strip() for item in value.strip().strip("()[]").split(",") if item.strip()]
    elif not isinstance(value, (list, tuple)):
        items = [value]
    any_length = len(kinds) == 2 and kinds[1] is Ellipsis
    if not items or not (any_length or len(items) == len(kinds)):
        raise _wrong(value, describe(tuple[kinds]), where, key)  # type: ignore[valid-type]
    of_item = [kinds[0]] * len(items) if any_length else kinds
    results = [_SCALARS[kind](item) for item, kind in zip(items, of_item, strict=True)]
    if None in results:
        raise _wrong(value, describe(tuple[kinds]), where, key)  # type: ignore[valid-type]
    return tuple(results)


def _string(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None


def _boolean(value: Any) -> bool | None:
    return (
        value
        if isinstance(value, bool)
        else TRUTH.get(value.strip().lower())
        if isinstance(value, str)
        else None
    )


def _integer(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _number(value: Any) -> float | None:
    """Strings too: YAML reads `5e-4` as one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


_SCALARS: dict[Any, Callable[[Any], Any]] = {str: _string, bool: _boolean, int: _integer, float: _number}
_NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def describe(kind: Any) -> str:
    """What a user is told to give for a field of that type."""
    if typing.get_origin(kind) is not tuple:
        return _NAMES[kind]
    kinds = typing.get_args(kind)
    plural = {int: "whole numbers", float: "numbers", str: "words"}[kinds[0]]
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return f"{plural} with commas between"
    return f"{len(kinds)} {plural} with a comma between"


def _wrong(value: Any, expected: str, where: Where, key: str) -> SBNetError:
    return SBNetError(f"{where(key)}{key} is {value!r}; expected {expected}")


def plain(value: Any) -> Any:
    """A dataclass as dictionaries, lists, strings and numbers, as YAML and JSON have them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return [plain(item) for item in value] if isinstance(value, (tuple, types.GeneratorType)) else value
