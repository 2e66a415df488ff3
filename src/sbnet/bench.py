"""The benchmarks, run on this machine: each compares an op with what the field uses, in one run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sbnet.errors import SBNetError, did_you_mean

NAMES = ("crf", "random_walk", "evaluation")


def run_benchmarks(names: Sequence[str] = ()) -> Iterator[str]:
    """The Markdown table of each benchmark named, of all by default, as each ends. Some fetch their peer with pip.

    Raises SBNetError for a name that is none and for a benchmark that fails.
    """
    for name in names:
        if name not in NAMES:
            raise SBNetError(
                f"there is no benchmark '{name}'{did_you_mean(name, NAMES)}; there are {', '.join(NAMES)}"
            )
    for name in names or NAMES:
        ended = subprocess.run(
            [sys.executable, str(_folder() / f"{name}.py")], capture_output=True, text=True, check=False
        )
        if ended.returncode:
            last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
            raise SBNetError(f"benchmark {name} failed ({last}); run it alone for more: {ended.args[1]}")
        yield ended.stdout


def _folder() -> Path:
    """In an installed package inside it; in a clone at its root."""
    inside = Path(__file__).parent / "benchmarks"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "benchmarks"
