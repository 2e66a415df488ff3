"""Two sides of a claim, each in a process of its own, timed in turn: medians, CPU seconds, memory, agreement.

A side is a function (inputs, **options) that gives a callable without arguments; inputs are arrays by name.
"""

from __future__ import annotations

import atexit
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Side:
    """function: its name in `file`. python: the interpreter; the peers' or, by default, ours."""

    name: str
    file: str
    function: str
    python: str = sys.executable


@dataclass(frozen=True)
class Measured:
    """Seconds are medians; peak: bytes of the whole process, its libraries included; result: what the last run gave."""

    name: str
    wall: float
    cpu: float
    peak: int
    result: np.ndarray


class _Worker:
    def __init__(self, side: Side, environment: Mapping[str, str]) -> None:
        self._side = side
        command = [side.python, str(HERE / "worker.py"), side.file, side.function]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the side '{self._side.name}' ended; what it said stands above")
        return json.loads(line)

    def measured(self, seen: list[dict[str, float]], folder: str) -> Measured:
        path = Path(folder, f"{self._side.function}.npy")
        peak = self.ask(do="save", path=str(path))["peak"]
        wall, cpu = (statistics.median(one[key] for one in seen) for key in ("wall", "cpu"))
        return Measured(self._side.name, wall, cpu, peak, np.load(path))

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.communicate()


def compare(
    peer: Side,
    ours: Side,
    inputs: Mapping[str, np.ndarray],
    *,
    runs: int = 7,
    environment: Mapping[str, str] = ONE_THREAD,
    **options: Any,
) -> tuple[Measured, Measured]:
    """Both sides on the same inputs, by default with one thread each: one run to warm up, then `runs` in turn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "inputs.npz")
        np.savez(path, **inputs)  # type: ignore[arg-type]
        with _Worker(peer, environment) as there, _Worker(ours, environment) as here:
            times: list[list[dict[str, float]]] = [[], []]
            for worker in (there, here):
                worker.ask(do="prepare", inputs=str(path), options=options)
                worker.ask(do="run")
            for _ in range(runs):
                for worker, seen in zip((there, here), times, strict=True):
                    seen.append(worker.ask(do="run"))
            return there.measured(times[0], folder), here.measured(times[1], folder)


@cache
def _peers() -> Path:
    """In the user's cache; where the user has no home, in a temporary folder, new for each process."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sbnet")
    except RuntimeError:  # neither HOME nor an entry in passwd, as in containers
        folder = Path(tempfile.mkdtemp(prefix="sbnet-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / f"peers-{platform.python_version()}"


def peers_python(*requirements: str) -> str:
    """The interpreter of the peers' own environment (`_peers`), with the requirements in it."""
    python = _peers() / "bin" / "python"
    noted = _peers() / "installed.txt"
    if not noted.exists():  # which is written last: what lacks it is half an environment
        venv.create(_peers(), with_pip=True, clear=True)
    have = noted.read_text().split() if noted.exists() else []
    if missing := [requirement for requirement in requirements if requirement not in have]:
        subprocess.run([python, "-m", "pip", "install", "-q", *missing], check=True)
        noted.write_text("\n".join([*have, *missing]))
    return str(python)


def machine() -> str:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        ]
        model = lines[0] if lines else model
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def table(title: str, rows: list[tuple[str, Measured, Measured, str]]) -> str:
    """Markdown: what is compared, both times, ratio, CPU seconds, memory, agreement."""
    lines = [
        f"**{title}** ({machine()})",
        "",
        "| | peer | ours | ratio | CPU, peer / ours | peak memory, peer / ours | agreement |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for what, peer, ours, agreement in rows:
        lines.append(
            f"| {what} | {_time(peer.wall)} ({peer.name}) | {_time(ours.wall)} | {peer.wall / ours.wall:.1f}x | "
            f"{_time(peer.cpu)} / {_time(ours.cpu)} | {peer.peak / 2**20:.0f} / {ours.peak / 2**20:.0f} MiB | "
            f"{agreement} |"
        )
    return "\n".join(lines)


def _time(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:.1f} s"
    return f"{1e3 * seconds:.{0 if seconds >= 0.1 else 1 if seconds >= 0.01 else 2}f} ms"
