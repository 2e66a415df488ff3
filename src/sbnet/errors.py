"""What is said to a user whose input cannot be used."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

FREE_SPACE = "free space or choose another folder"
# What to do where the system refuses a file, by its error number.
REMEDIES = dict.fromkeys((errno.EACCES, errno.EPERM), "fix its permissions (chmod, chown) or choose another")
REMEDIES |= dict.fromkeys((errno.ENOSPC, errno.EDQUOT), FREE_SPACE)
REMEDIES |= dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files (ulimit -n)")
REMEDIES[errno.ENOENT] = "check the path, and the folder at which relative paths start"
REMEDIES[errno.EIO] = "the disk fails: copy what can be read to another"


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


def system_message(error: OSError) -> str:
    """What the system refused, in a line: file, reason, remedy."""
    remedy = REMEDIES.get(error.errno or 0, "")
    if error.filename is None:  # perhaps from a loader's worker, with its traceback before
        what = (str(error).strip() or type(error).__name__).splitlines()[-1]
        return f"{what}; {remedy}" if remedy else what
    file = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"{file}: {error.strerror}; {remedy or 'repair it or choose another'}"


def counted(number: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def check_folder(folder: Path) -> None:
    """Raises SBNetError for a folder whose files cannot be listed or opened: a glob takes it for an empty one."""
    try:
        with os.scandir(folder):
            os.stat(os.path.join(folder, "."))  # which a Path would leave out
    except OSError as error:
        error.filename = str(folder)
        raise SBNetError(system_message(error)) from error


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises SBNetError where the setting `name` has a value that is none of its choices."""
    if value not in (known := tuple(choices)):
        raise SBNetError(f"{name}: '{value}' is not one of {', '.join(known)}{did_you_mean(value, known)}")
