"""What the stages that `sbnet sweep` tries settings of have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

Settings = TypeVar("Settings")


def alike(settings: Sequence[Settings], **ignored: Any) -> dict[Settings, list[int]]:
    """Indexes of settings that differ in the `ignored` ones alone, by what they share (those at the values given)."""
    groups: dict[Settings, list[int]] = {}
    for index, one in enumerate(settings):
        groups.setdefault(replace(one, **ignored), []).append(index)  # type: ignore[type-var]
    return groups
