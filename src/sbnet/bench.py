"""The benchmarks, run on this machine: each compares an op with what the field uses, in one run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sbnet.errors import SBNetError, did_you_mean

NAMES = (
    "crf",
    "kernels",
    "random_walk",
    "evaluation",
    "boundaries",
    "loader",
    "affinity",
    "cam_inference",
    "training_step",
    "full_steps",
    "refine",
    "device",
    "startup",
)


def run_benchmarks(names: Sequence[str] = ()) -> Iterator[str]:
    """The Markdown table of each benchmark named, of all by default, as each ends. `crf` and `kernels` fetch their peers with pip.

    Raises SBNetError for a name that is none, and, after the others have run, for benchmarks that failed.
    """
    for name in names:
        if name not in NAMES:
            raise SBNetError(
                f"there is no benchmark '{name}'{did_you_mean(name, NAMES)}; there are {', '.join(NAMES)}"
            )
    failed = []
    for name in names or NAMES:
        command = [sys.executable, str(_folder() / f"{name}.py")]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if ended.returncode:
            failed.append(name)
        else:
            yield ended.stdout
    if failed:
        raise SBNetError(f"benchmarks that failed: {', '.join(failed)}; what they said stands above")


def _folder() -> Path:
    """In an installed package inside it; in a clone at its root."""
    inside = Path(__file__).parent / "benchmarks"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "benchmarks"
