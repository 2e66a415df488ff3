"""What values may be: the options of networks, as keywords or from the header of a file that may not be trusted."""

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
SHOWN = 60  # letters of a value that is refused


@dataclass(frozen=True)
class Allowed:
    """kind: of the value, or of each of a list of `least` to `most`; of numbers, `low` to `high`, NaN never.
    first: of the list's first. choices: all that it may be. empty: None is one, too.
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
    """A line for each value that `allowed` has another for, and one for those of `needed` that are missing. Values of
    other names are not looked at.
    """
    wrong = [
        f"{name}={values[name]!r:.{SHOWN}}; expected {kind}"
        for name, kind in allowed.items()
        if name in values and not kind.admits(values[name])
    ]
    missing = [name for name in needed if name not in values]
    return wrong + [f"no {', '.join(missing)}"] * bool(missing)


# Every option that `build` takes. What else a backbone or network has against a value, it says itself.
OPTIONS = {
    "stride": Allowed(int, 1, 64),
    "freeze": Allowed(int, -1000, 1000),
    "dilate": Allowed(bool),
    "dropout": Allowed(float, 0, 1),
    "boundary_channels": Allowed(int, 1, 2**16),
    "canny_scale": Allowed(float),
    "boundary_is_new": Allowed(bool),
    "radius": Allowed(int, 1, 64),
    "gain": Allowed(float, 0),
    "head": Allowed(str),
    "fov_norm": Allowed(str),
    "scales": Allowed(float, 0.05, 4, most=16, first=1),
    "rates": Allowed(int, 1, 512, most=64, empty=True),
    "project": Allowed(int, 0, 2**16),
    "channels": Allowed(int, 1, 2**16),
}
