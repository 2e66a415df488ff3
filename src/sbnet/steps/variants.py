"""What the steps whose settings can be swept have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sbnet.settings import Settings

Swept = TypeVar("Swept", bound=Settings)


def alike(settings: Sequence[Swept], **ignored: Any) -> dict[Swept, list[int]]:
    """Indexes of settings that differ in the `ignored` ones alone, by what they share (those at the values given)."""
    groups: dict[Swept, list[int]] = {}
    for index, one in enumerate(settings):
        groups.setdefault(one.model_copy(update=ignored), []).append(index)
    return groups
