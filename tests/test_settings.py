"""Sections of a recipe: values as they are written become their type, others are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sbnet.registry import DATASETS, METHODS
from sbnet.settings import (
    Count,
    Folder,
    ModelFile,
    Outside,
    Positive,
    Scales,
    Settings,
    Weights,
    outside,
    plain,
)
from sbnet.steps.settings import CrfSettings, PredictSettings


class Inner(Settings):
    """A section within a section."""

    rate: Positive = 0.5
    """How fast."""
    folder: Folder = ""
    """Something made elsewhere."""


class Example(Settings):
    """A section."""

    count: Count = 2
    """How many."""
    rate: float = 0.5
    text: str = "a"
    switch: bool = False
    scales: Scales = (1.0,)
    pair: tuple[int, int] = (1, 2)
    choice: Literal["one", "two"] = "one"
    network: ModelFile = ""
    weights: Weights = "auto"
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", "3", 3),
        ("count", " 3 ", 3),
        ("rate", 3, 3.0),
        ("rate", "5e-4", 5e-4),
        ("switch", "yes", True),
        ("switch", "False", False),
        ("switch", "off", False),
        ("text", 32, "32"),
        ("text", "", ""),
        ("choice", " two ", "two"),
        ("scales", "1,1.5", (1.0, 1.5)),
        ("scales", "[1, 1.5]", (1.0, 1.5)),
        ("scales", 2, (2.0,)),
        ("scales", "2", (2.0,)),
        ("pair", "(256, 448)", (256, 448)),
        ("pair", [256, "448"], (256, 448)),
        ("inner", {"rate": "2"}, Inner(rate=2)),
    ],
)
def test_values_become_their_type(key: str, value: object, expected: object) -> None:
    found = getattr(Example.model_validate({key: value}), key)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("count", value) for value in ("3.5", 3.5, True, None, "x", "", 0, [1])],
        *[("rate", value) for value in ("nan", ".inf", float("inf"), False, None, "x")],
        *[("switch", value) for value in ("2", 2, None, "maybe", [])],
        *[("text", value) for value in (True, None, [1])],
        *[("scales", value) for value in ([], "", "1,x", [1, None], [True], [1, float("nan")], [0], None)],
        *[("pair", value) for value in (1, "1", "1,2,3", [1, 2, 3], [1, 2.5], {})],
        *[("choice", value) for value in ("three", "One", 1)],
        *[("inner", value) for value in (1, "x", [], None, {"other": 1}, {"rate": 0})],
        ("other", 1),
    ],
)
def test_other_values_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError) as error:
        Example.model_validate({key: value})
    assert error.value.errors()[0]["loc"][0] == key


def test_settings_cannot_be_changed_and_can_be_compared() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Example().count = 3  # type: ignore[misc]
    assert {Example(count=3): 1}[Example(count="3")] == 1  # type: ignore[arg-type]


def test_what_lies_outside_the_run() -> None:
    assert list(outside(Example())) == []
    given = Example(network="a.pth", weights="file:b.pth", inner=Inner(folder="maps"))
    assert list(outside(given)) == [
        ("network", Path("a.pth"), Outside("file")),
        ("weights", Path("b.pth"), Outside("weights")),
        ("inner.folder", Path("maps"), Outside("folder")),
    ]
    assert list(outside(Example(weights="timm:resnet18"))) == []


def test_plain_values() -> None:
    given = Example(scales=(1, 2), inner=Inner(rate=2))
    assert plain(given)["scales"] == [1.0, 2.0]
    assert plain(given)["inner"] == {"rate": 2.0, "folder": ""}
    assert Example.model_validate(plain(given)) == given


def of_methods() -> list[type[Settings]]:
    entries: list[Any] = [*METHODS.entries(), *DATASETS.entries()]
    return [entry.Settings for entry in entries if not list(required(entry.Settings))]


def required(kind: type[Settings]) -> list[str]:
    return [name for name, info in kind.model_fields.items() if info.is_required()]


@pytest.mark.parametrize(
    "kind",
    [*of_methods(), CrfSettings, PredictSettings],
    ids=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
def test_every_setting_has_a_default_that_holds_and_says_what_it_is(kind: type[Settings]) -> None:
    assert kind.model_validate(plain(kind())) == kind()
    waiting = [kind]
    while waiting:
        one = waiting.pop()
        for name, info in one.model_fields.items():
            inner = info.annotation
            if isinstance(inner, type) and issubclass(inner, Settings):
                waiting.append(inner)
            assert info.description or name in (
                "epochs",
                "batch",
                "learning_rate",
                "crop",
                "root",
                "train",
                "val",
            )


@given(
    numbers=st.tuples(st.floats(0.5, 1e6), st.floats(0, 1e6)),
    alpha=st.floats(1e-6, 24),
    iterations=st.integers(0, 1000),
)
def test_plain_values_come_back_whole(numbers: tuple[float, float], alpha: float, iterations: int) -> None:
    settings = CrfSettings(gaussian=numbers, low_alpha=alpha, iterations=iterations)
    assert CrfSettings.model_validate(plain(settings)) == settings
