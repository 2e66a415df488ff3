"""Runs every step of a run into a full disk, then with room again. Started by test_kill_and_resume.py with

    unshare --map-root-user --mount python full_disk.py WHOLE_RUN EMPTY_FOLDER

so that it may mount a small disk. Prints one JSON line a step.
"""

import contextlib
import io
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from sbnet.cli import execute

LEFT = 10 * resource.getpagesize()  # bytes, a page for each note of run and step: not room for the output


def main(whole: Path, disk: Path) -> None:
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
