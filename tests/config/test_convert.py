from __future__ import annotations

import dataclasses
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sbnet.config.convert import build, convert, field_types, plain

from sbnet.config.recipe import Recipe
from sbnet.errors import SBNetError

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def where(key: str) -> str:
    return f"<{key}> "


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("3", int, 3),
        (3, float, 3.0),
        ("5e-4", float, 5e-4),
        ("yes", bool, True),
        ("False", bool, False),
        (32, str, "32"),
        ("", str, ""),
        ("1,1.5", tuple[float, ...], (1.0, 1.5)),
        ("[1, 1.5]", tuple[float, ...], (1.0, 1.5)),
        ("(256, 448)", tuple[int, int], (256, 448)),
        (2, tuple[float, ...], (2.0,)),
    ],
)
def test_values_become_their_type(value: object, kind: object, expected: object) -> None:
    result = convert(value, kind, where, "k")
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("3.5", int, "a whole number"),
        (3.0, int, "a whole number"),
        (True, int, "a whole number"),
        (None, int, "a whole number"),
        ("nan", float, "a number"),
        (".inf", float, "a number"),
        (False, float, "a number"),
        ("2", bool, "true or false"),
        (1, bool, "true or false"),
        (True, str, "text"),
        ("1", tuple[int, int], "2 whole numbers with a comma between"),
        ("1,2,3", tuple[int, int], "2 whole numbers with a comma between"),
        ("1,x", tuple[float, ...], "numbers with commas between"),
        ([], tuple[float, ...], "numbers with commas between"),
    ],
)
def test_other_types_are_refused(value: object, kind: object, expected: str) -> None:
    with pytest.raises(SBNetError) as error:
        convert(value, kind, where, "stage.key")
    assert str(error.value) == f"<stage.key> stage.key is {value!r}; expected {expected}"


def _values(kind: object) -> st.SearchStrategy[object]:
    if dataclasses.is_dataclass(kind):
        return st.fixed_dictionaries({name: _values(type_) for name, type_ in field_types(kind).items()})
    if typing.get_origin(kind) is tuple:
        first, *others = typing.get_args(kind)
        if others == [Ellipsis]:
            return st.lists(_values(first), min_size=1, max_size=4)
        return st.tuples(*map(_values, (first, *others))).map(list)
    return {str: st.text(), bool: st.booleans(), int: st.integers(), float: NUMBERS}[kind]


SETTINGS = {
    name: kind
    for name, kind in field_types(Recipe).items()
    if dataclasses.is_dataclass(kind) and name != "runtime"
}
FREE = {name: kind for name, kind in SETTINGS.items() if not hasattr(kind, "__post_init__")}


@given(st.data())
def test_plain_values_come_back_whole(data: st.DataObject) -> None:
    kind = FREE[data.draw(st.sampled_from(sorted(FREE)))]
    values = data.draw(_values(kind))
    assert plain(build(kind, values, where)) == values


@given(st.sampled_from(sorted(SETTINGS)))
def test_the_defaults_come_back_whole(name: str) -> None:
    default = SETTINGS[name]()
    assert build(SETTINGS[name], plain(default), where) == default
