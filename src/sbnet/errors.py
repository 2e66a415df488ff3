"""What is said to a user whose input cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SBNetError(Exception):
    """A mistake in the input. The message names the file, line and value, and the remedy.

    The command line prints the message without a traceback and ends with status 2.
    """


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`" (did you mean 'cat'?)"` for the choice nearest to `word`, or `""` where none is near."""
    near = difflib.get_close_matches(str(word), [str(choice) for choice in choices], n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
