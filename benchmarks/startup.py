"""How long the command takes to answer, without work to do: python benchmarks/startup.py"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from harness import machine

RUNS = 5
COMMANDS = (
    "run nosuch",
    "run quickstart wrong.key=1",
    "recipes",
    "methods",
    "models",
    "checks",
    "--help",
    "--version",
)


def measured(command: str, folder: str) -> tuple[float, float, int]:
    """Wall and CPU seconds of `sbnet COMMAND` in this folder, medians after one run to warm up, and its exit status."""
    code = "import sys; from sbnet.cli import main; sys.argv[0] = 'sbnet'; sys.exit(main())"
    walls, cpus, status = [], [], 0
    for _ in range(RUNS + 1):
        before, begun = _cpu_of_children(), time.perf_counter()
        ended = subprocess.run(
            [sys.executable, "-c", code, *command.split()], cwd=folder, capture_output=True, check=False
        )
        walls.append(time.perf_counter() - begun)
        cpus.append(_cpu_of_children() - before)
        status = ended.returncode
    return statistics.median(walls[1:]), statistics.median(cpus[1:]), status


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> str:
    lines = [
        f"**Start of the command, median of {RUNS}** ({machine()})",
        "",
        "| command | wall | CPU | exit status |",
        "| --- | --- | --- | --- |",
    ]
    if path := os.environ.get("PYTHONPATH"):  # the commands run in another folder
        os.environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(part) for part in path.split(os.pathsep))
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            wall, cpu, status = measured(command, folder)
            lines.append(f"| `sbnet {command}` | {wall:.2f} s | {cpu:.2f} s | {status} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
