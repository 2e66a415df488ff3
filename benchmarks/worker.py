"""One side of a comparison in a process of its own: reads jobs from stdin, runs them, tells time and memory.

worker.py FILE FUNCTION: FUNCTION(inputs, **options) of FILE gives a callable without arguments, which is what is timed.
Needs Python and numpy alone, so that it runs in the peers' environment too.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def main(file: str, name: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    job: Callable[[], Any] | None = None
    result: Any = None
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "prepare":
            with np.load(order["inputs"], allow_pickle=False) as inputs:
                job = _function(file, name)(dict(inputs), **order["options"])
            answer: dict[str, Any] = {}
        elif order["do"] == "run":
            assert job
            wall, cpu = time.perf_counter(), _cpu_seconds()
            result = job()
            answer = {"wall": time.perf_counter() - wall, "cpu": _cpu_seconds() - cpu}
        else:
            np.save(order["path"], np.asarray(result))
            answer = {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
        answers.write(json.dumps(answer) + "\n")


def _cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _function(file: str, name: str) -> Callable[..., Callable[[], Any]]:
    sys.path.insert(0, str(Path(file).parent))
    spec = importlib.util.spec_from_file_location("side", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
