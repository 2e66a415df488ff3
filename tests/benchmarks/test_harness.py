from __future__ import annotations

import importlib.util
import platform
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbnet.bench import run_benchmarks
from sbnet.cli import execute

FOLDER = Path(__file__).parents[2] / "benchmarks"
SIDES = """
import time
import numpy as np

def slow(inputs, *, factor):
    def run():
        print("what a library says")
        time.sleep(0.05)
        return inputs["x"] * factor
    return run

def quick(inputs, *, factor):
    return lambda: inputs["x"] * factor

def broken(inputs, *, factor):
    raise ValueError("no")
"""


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("harness", FOLDER / "harness.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "harness", module)  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def test_both_sides_run_in_turn(harness: Any, tmp_path: Path) -> None:
    file = tmp_path / "sides.py"
    file.write_text(SIDES)
    slow, quick = (harness.Side(name, str(file), name) for name in ("slow", "quick"))
    there, here = harness.compare(slow, quick, {"x": np.arange(3)}, runs=3, factor=2)
    np.testing.assert_array_equal(there.result, [0, 2, 4])
    np.testing.assert_array_equal(here.result, there.result)
    assert there.wall >= 0.05
    assert here.wall > 0
    printed = harness.table("Title", [("case", there, here, "same")])
    assert "**Title**" in printed
    assert "(slow)" in printed


def test_a_side_that_fails_is_told(harness: Any, tmp_path: Path) -> None:
    file = tmp_path / "sides.py"
    file.write_text(SIDES)
    sides = [harness.Side(name, str(file), name) for name in ("broken", "quick")]
    with pytest.raises(RuntimeError, match="the side 'broken' ended"):
        harness.compare(*sides, {"x": np.arange(3)}, factor=2)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(12, "12.0 s"), (2.5, "2500 ms"), (0.0312, "31.2 ms"), (0.0019, "1.90 ms")]
)
def test_times(harness: Any, seconds: float, shown: str) -> None:
    assert harness._time(seconds) == shown


def test_peers_of_a_user_without_a_home(
    harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable says where it is, and the user has no entry in passwd, as in some containers."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    named = f"peers-{platform.python_version()}"
    assert harness._peers() == tmp_path / "cache" / "sbnet" / named
    harness._peers.cache_clear()
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert harness._peers() == tmp_path / "home" / ".cache" / "sbnet" / named
    harness._peers.cache_clear()
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = harness._peers()
    assert found.parent.parent == tmp_path
    assert found.name == named
    assert found.parent.stat().st_mode & 0o077 == 0
    assert harness._peers() == found


def test_without_a_gpu_the_ops_on_it_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert list(run_benchmarks(["device"])) == [
        "No GPU: PyTorch sees none on this machine, so the ops' GPU paths are not measured.\n"
    ]


def test_ops_of_the_device_benchmark_run(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, on a corner of the benchmark's inputs; CRF and walk have no such corner, and tests enough."""
    monkeypatch.syspath_prepend(str(FOLDER))
    device = runpy.run_path(str(FOLDER / "device.py"))
    ran = {"crf", "random_walk"}
    for _, op, inputs, options in device["cases"]():
        if op not in ("crf", "random_walk"):
            corner = {name: array[..., :24, :32].copy() for name, array in inputs.items()}
            assert np.isfinite(device["on_cpu"](corner, op=op, **options)()).all()
            ran.add(op)
    assert ran == set(device["OPS"])


def test_one_that_fails_keeps_none_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scripts = {"crf": "raise SystemExit('no peer')", "eval": "print('table 1')", "walk": "print('table 2')"}
    for name, code in scripts.items():
        (tmp_path / f"{name}.py").write_text(f'"""What it is: python benchmarks/{name}.py"""\n{code}\n')
    monkeypatch.setattr("sbnet.bench._folder", lambda: tmp_path)
    assert execute(["bench"]) == 2
    printed = capfd.readouterr()
    assert printed.out == "table 1\n\ntable 2\n\n"
    assert printed.err.startswith("no peer\nsbnet: benchmarks that failed: crf; ")
