"""Values that options may have, given as keywords or by the header of a file that may not be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

KINDS: dict[type, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "text"),
    dict: (dict, "a table of values"),
}
SHOWN = 60  # letters of a refused value


@dataclass(frozen=True)
class Allowed:
    """kind: of the value, or of each item of a list of `least` to `most`. low, high: range of numbers; NaN is never
    allowed. first: what a list begins with. choices: the only values allowed. empty: whether None is allowed.
    """

    kind: type
    low: float = -1e6
    high: float = 1e6
    most: int = 0
    least: int = 1
    first: Any = None
    choices: tuple[Any, ...] = ()
    empty: bool = False

    def admits(self, value: Any) -> bool:
        if value is None:
            return self.empty
        if not self.most:
            return self._admits_one(value)
        return (
            isinstance(value, (list, tuple))
            and self.least <= len(value) <= self.most
            and all(map(self._admits_one, value))
            and self.first in (None, value[0])
        )

    def _admits_one(self, value: Any) -> bool:
        if isinstance(value, bool) != (self.kind is bool) or not isinstance(value, KINDS[self.kind][0]):
            return False
        if self.choices and value not in self.choices:
            return False
        return self.kind not in (int, float) or bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        words = ", ".join(map(str, self.choices)) or KINDS[self.kind][1]
        if self.kind in (int, float):
            words += f" from {self.low:g} to {self.high:g}"
        if not self.most:
            return words
        count = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return f"a list of {count}, each {words}" + (
            f", the first {self.first:g}" if self.first is not None else ""
        )


def refusals(
    values: Mapping[str, Any], allowed: Mapping[str, Allowed], *, needed: Iterable[str] = ()
) -> list[str]:
    """A line for each value that is not allowed, and one for those of `needed` that are missing. Values that `allowed`
    does not name are ignored.
    """
    wrong = [
        f"{name}={values[name]!r:.{SHOWN}}; expected {kind}"
        for name, kind in allowed.items()
        if name in values and not kind.admits(values[name])
    ]
    missing = [name for name in needed if name not in values]
    return wrong + [f"no {', '.join(missing)}"] * bool(missing)


# Options of backbones; those of networks are in their classes. Some values are refused by the backbone itself.
OPTIONS = {
    "stride": Allowed(int, 1, 64),
    "freeze": Allowed(int, -1000, 1000),
    "dilate": Allowed(bool),
}
