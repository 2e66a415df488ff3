"""The build backend: scikit-build-core, and a compiler for it where the machine has none."""

from __future__ import annotations

from typing import Any

from compiler import ZIG, compiler, machine_compiles
from scikit_build_core import build as backend
from scikit_build_core.build import (
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def get_requires_for_build_wheel(settings: Any = None) -> list[str]:
    return _with_zig(backend.get_requires_for_build_wheel(settings))


def get_requires_for_build_editable(settings: Any = None) -> list[str]:
    return _with_zig(backend.get_requires_for_build_editable(settings))


def _with_zig(requires: list[str]) -> list[str]:
    return requires if machine_compiles() else [*requires, ZIG]


def build_wheel(folder: str, settings: Any = None, metadata: str | None = None) -> str:
    with compiler() as needed:
        return backend.build_wheel(folder, {**(settings or {}), **needed}, metadata)


def build_editable(folder: str, settings: Any = None, metadata: str | None = None) -> str:
    with compiler() as needed:
        return backend.build_editable(folder, {**(settings or {}), **needed}, metadata)
