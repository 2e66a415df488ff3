"""What `sbnet data check` finds: lines to read, what a run would refuse, and where missing parts are available."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from sbnet.errors import SBNetError
from sbnet.work.progress import photo_progress

Item = TypeVar("Item")
Result = TypeVar("Result")


class Line(NamedTuple):
    """details: what stands below it."""

    title: str
    text: str
    details: Sequence[str] = ()


@dataclass(frozen=True)
class Findings:
    """problems: what a run would refuse, or a figure suffer from. sources: a place -> the missing parts that it has."""

    lines: list[Line] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sources: dict[str, list[str]] = field(default_factory=dict)

    def add(self, title: str, text: str, details: Sequence[str] = ()) -> None:
        self.lines.append(Line(title, text, details))

    def each(
        self, title: str, look: Callable[[Item], Result], items: Sequence[Item]
    ) -> list[tuple[Item, Result]]:
        """Each item with what `look`, on threads, says of it, in order; where that is an `SBNetError`, it is a problem."""

        def careful(item: Item) -> Result | SBNetError:
            try:
                return look(item)
            except SBNetError as error:
                return error

        with ThreadPoolExecutor() as pool:
            looked = list(photo_progress(title, pool.map(careful, items), len(items)))
        self.problems.extend(str(result) for result in looked if isinstance(result, SBNetError))
        pairs = zip(items, looked, strict=True)
        return [(item, result) for item, result in pairs if not isinstance(result, SBNetError)]
