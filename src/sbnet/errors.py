"""What is said to a user whose input cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SBNetError(Exception):
    """A mistake in the input. The message names the file, line and value, and the remedy.

    The command line prints the message without a traceback and ends with status 2.
    """


def did_you_mean(word: str, choices: Iterable[str], *, nearness: float = 0.6) -> str:
    """`" (did you mean 'cat'?)"` for the choice nearest to `word`, or `""` where none is near: `nearness` is the share
    of letters that both have in common. Names that differ in numbers alone need a high one.
    """
    near = difflib.get_close_matches(str(word), [str(choice) for choice in choices], n=1, cutoff=nearness)
    return f" (did you mean '{near[0]}'?)" if near else ""


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises SBNetError where the setting `name` has a value that is none of its choices."""
    if value not in (known := tuple(choices)):
        raise SBNetError(f"{name}: '{value}' is not one of {', '.join(known)}{did_you_mean(value, known)}")
