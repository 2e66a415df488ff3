"""Python and the command in processes of their own, which start at once: forked from one that has loaded the libraries.

Of this package it has loaded nothing. What the start itself does (what it loads, in what encoding it prints) is seen
with a plain `python -c` only.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

LIBRARIES = [
    *("torch", "torchvision.transforms.v2", "timm", "lightning_fabric", "scipy.ndimage", "PIL.Image"),
    *("matplotlib.figure", "matplotlib.backends.backend_svg", "jinja2"),
    *("cyclopts", "pydantic", "rich.progress", "rich.table"),
]
PATIENCE = 900  # seconds: a hung process ends, a slow one does not

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(LIBRARIES)


def command(*words: str | Path, together: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
    """`sbnet` with these words. together: stdout and stderr, both in `stdout`."""
    return python("from sbnet.cli import main; main()", *words, together=together, **variables)


def python(
    code: str, *words: str | Path, together: bool = False, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`python -c CODE WORDS`, leader of a process group of its own, as a shell starts it; until it and all that it
    started has ended. variables: of its environment, besides ours.
    """
    arguments = ["-c", *map(str, words)]
    with tempfile.TemporaryDirectory() as folder:
        out, error = Path(folder, "out"), Path(folder, "out" if together else "error")
        ended, held = _forking.Pipe(duplex=False)
        told = (code, arguments, {**os.environ, **variables}, str(out), str(error), held)
        process = _forking.Process(target=_run, args=told)
        process.start()
        held.close()
        if not ended.poll(PATIENCE):  # readable at its end, when nobody holds the other side
            os.killpg(process.pid or 0, signal.SIGKILL)
            raise subprocess.TimeoutExpired(arguments, PATIENCE, out.read_bytes(), error.read_bytes())
        process.join()
        texts = [path.read_text(encoding="utf-8") for path in (out, error)]
        return subprocess.CompletedProcess(arguments, process.exitcode or 0, *texts)


def _run(
    code: str, arguments: list[str], variables: dict[str, str], out: str, error: str, held: Connection
) -> None:
    """In the new process. held: open for as long as it, or a process that it forks, is there."""
    import torch

    multiprocessing.set_start_method(None, force=True)  # the usual one, for what it starts itself
    os.setsid()
    for path, number in ((out, 1), (error, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(variables)
    if threads := variables.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    sys.argv = arguments
    sys.path[:0] = filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
