"""What the sections of a recipe are made of: pydantic models with their bounds in the types. Imports no PyTorch."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Settings(BaseModel):
    """A frozen section of a recipe. A field's docstring, one line below it, is what `sbnet recipes NAME` shows.

    Values may be text, as on a command line: `1,1.5` is a list, `yes` is true, a lone number is a list of one.
    Unknown keys are refused.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        protected_namespaces=(),
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """A field that is defined again, for another default, keeps its docstring."""
        super().__pydantic_init_subclass__(**kwargs)
        for name, info in cls.model_fields.items():
            parents: list[Any] = list(cls.__mro__[1:])
            above = (one.model_fields[name] for one in parents if name in getattr(one, "model_fields", {}))
            info.description = info.description or next((one.description for one in above), None)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        kind = cls.model_fields[info.field_name].annotation
        if typing.get_origin(kind) is tuple:
            if isinstance(value, str):
                return [part.strip() for part in value.strip().strip("()[]").split(",") if part.strip()]
            value = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(item, bool) for item in value):
                raise ValueError("expected numbers, not true or false")
            return value
        if isinstance(value, bool) and kind in (int, float, str):
            raise ValueError(f"expected {'text' if kind is str else 'a number'}, not true or false")
        return value.strip() if isinstance(value, str) else value


Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Crop = Annotated[int, Field(ge=8)]
CrfSteps = Annotated[int, Field(ge=0, le=1000)]
Scale = Annotated[float, Field(gt=0, le=16)]
Scales = Annotated[tuple[Scale, ...], Field(min_length=1, max_length=16)]


def _rising(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    if not 0 < pair[0] <= pair[1]:
        raise ValueError("expected the smaller one first, both above 0")
    return pair


Sizes = Annotated[tuple[int, int], AfterValidator(_rising)]
Factors = Annotated[tuple[float, float], AfterValidator(_rising)]

# Finer lattices than half a pixel or grey level outgrow their whole numbers; the kernels compute in float32.
Width = Annotated[float, Field(ge=0.5, le=1e6)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Gaussian = tuple[Width, Weight]
Bilateral = tuple[Width, Width, Weight]


@dataclass(frozen=True)
class Outside:
    """Marks a text field that names something outside the run, whose content counts in its fingerprint: a `file`, a
    `folder` of files, or `weights`, of which `file:PATH` is a file. Empty for none.
    """

    kind: Literal["file", "folder", "weights"]


ModelFile = Annotated[str, Outside("file")]
Folder = Annotated[str, Outside("folder")]
Weights = Annotated[str, Outside("weights")]


def outside(settings: Settings) -> Iterator[tuple[str, Path, Outside]]:
    """Dotted key, path and mark of every file and folder that settings name, sections within them included."""
    for key, info in type(settings).model_fields.items():
        value = getattr(settings, key)
        if isinstance(value, Settings):
            yield from ((f"{key}.{inner}", path, mark) for inner, path, mark in outside(value))
        for mark in info.metadata:
            if isinstance(mark, Outside) and value:
                if mark.kind != "weights":
                    yield key, Path(value), mark
                elif value.startswith("file:"):
                    yield key, Path(value.removeprefix("file:")), mark


def plain(value: Any) -> Any:
    """Settings as dictionaries, lists, strings and numbers, as YAML and JSON have them."""
    if isinstance(value, Settings):
        return {key: plain(getattr(value, key)) for key in type(value).model_fields}
    return [plain(item) for item in value] if isinstance(value, tuple) else value
