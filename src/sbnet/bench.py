"""The benchmarks, run on this machine: each compares an op with what the field uses, in one run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sbnet.errors import SBNetError, did_you_mean


def benchmarks() -> dict[str, str]:
    """Name -> what it compares, of every script that says on its first line how it runs, without required arguments."""
    found = {}
    for path in sorted(_folder().glob("*.py")):
        with path.open(encoding="utf-8") as file:
            first = file.readline()
        told = re.match(
            rf'"""(.+): python benchmarks/{re.escape(path.name)}(?: \[.*\])?(?:""")?$', first.rstrip()
        )
        if told:
            found[path.stem] = told[1]
    return found


def run_benchmarks(names: Sequence[str] = ()) -> Iterator[str]:
    """The Markdown table of each benchmark named, of all by default, as each ends. `crf` fetches its peer with pip.

    Raises SBNetError for an unknown name, and, after the others have run, for benchmarks that failed.
    """
    known = benchmarks()
    for name in names:
        if name not in known:
            raise SBNetError(
                f"there is no benchmark '{name}'{did_you_mean(name, known)}; available: {', '.join(known)}"
            )
    failed = []
    for name in names or known:
        command = [sys.executable, str(_folder() / f"{name}.py")]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if ended.returncode:
            failed.append(name)
        else:
            yield ended.stdout
    if failed:
        raise SBNetError(f"benchmarks that failed: {', '.join(failed)}; see their messages above")


def _folder() -> Path:
    """In an installed package inside it; in a clone at its root."""
    inside = Path(__file__).parent / "benchmarks"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "benchmarks"
