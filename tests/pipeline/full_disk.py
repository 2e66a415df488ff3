"""Runs every step of a run into a full disk, then with room again. test_kill_and_resume.py starts it with the words

    WHOLE_RUN EMPTY_FOLDER

The small disk that it mounts is seen by its own process alone. Prints one JSON line a step.
"""

import contextlib
import ctypes
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from sbnet.cli import execute

NEW_USERS, NEW_MOUNTS = 0x10000000, 0x00020000  # CLONE_NEWUSER, CLONE_NEWNS of Linux's sched.h
LEFT = 10 * resource.getpagesize()  # bytes, a page for each note of run and step: not room for the output


def main(whole: Path, disk: Path) -> None:
    _isolate()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", disk], check=True)
    out = disk / "run"
    steps = [
        path.parent.name for path in sorted(whole.glob("*/done.json"), key=lambda p: p.stat().st_mtime_ns)
    ]
    later = steps[steps.index("train_cam") :]  # the bootstrap runs the same code
    shutil.copytree(
        whole, out, ignore=lambda folder, names: {*later, "metrics.json", "report.html"} & {*names}
    )
    for step in later:
        filling = _fill(disk)
        status, error = _run(out, step)
        facts = {
            "step": step,
            "status": status,
            "error": error,
            "done": [name for name in steps if (out / name / "done.json").exists()],
            "halves": [str(path) for path in out.rglob("*.tmp")],
        }
        filling.unlink()
        print(json.dumps(facts | {"again": _run(out, step)[0]}), flush=True)
    for path in whole.rglob("*"):
        if path.suffix in (".safetensors", ".npz", ".png"):
            assert (out / path.relative_to(whole)).read_bytes() == path.read_bytes(), path


def _isolate() -> None:
    """As `unshare --map-root-user --mount`: root among users and mounts of its own."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_USERS | NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def _fill(disk: Path) -> Path:
    filling = disk / "filling"
    with filling.open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - LEFT))
    return filling


def _run(out: Path, step: str) -> tuple[int, str]:
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
        status = execute(["run", str(out), "--to", step])
    return status, error.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
