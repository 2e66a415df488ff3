"""The benchmark of full-size steps, at a small size: both sides compute the same losses, and change their weights."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sbnet.bench import run_benchmarks

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark_file(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return SimpleNamespace(**runpy.run_path(str(FOLDER / "full_steps.py")))


def test_both_sides_train_alike(benchmark_file: Any, tmp_path: Path) -> None:
    tiny = benchmark_file.Size({"SBNet": 40}, {}, (60, 72), 1, 1)
    benchmark_file.make_samples(tmp_path, case="SBNet", size=tiny, photos=1)
    options = {"case": "SBNet", "folder": str(tmp_path), "photos": 1, "steps": 1, "device": "cpu"}
    sides = [benchmark_file.peer({}, **options), benchmark_file.ours({}, precision="32", **options)]
    losses = np.array([[side()[0] for _ in range(2)] for side in sides])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    assert (np.diff(losses) != 0).all()


def test_a_row_of_both_sides(benchmark_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `compare`'s contract, but in this process; test_sides.py has processes."""

    def compare(*sides_and_inputs: Any, runs: int, environment: Any, **options: Any) -> list[Any]:
        *sides, inputs = sides_and_inputs
        assert {side.file for side in sides} == {str(FOLDER / "full_steps.py")}
        assert (inputs, runs, environment) == ({}, 1, {})
        given = json.loads(json.dumps(options))
        run = [getattr(benchmark_file, side.function)(inputs, **given) for side in sides]
        return [SimpleNamespace(wall=1.0, peak=2**30, result=side()) for side in run]

    monkeypatch.setitem(benchmark_file.measure.__globals__, "compare", compare)
    tiny = benchmark_file.Size({"DeepLab v2": 33}, {"DeepLab v2": (1,)}, (60, 72), 1, 1)
    what, *rates, _ratio, peaks, losses = benchmark_file.measure("DeepLab v2", tiny, "cpu", "32")[2:-2].split(
        " | "
    )
    assert what == "DeepLab v2, ResNet-101, crop 33, 1 images a step, 32"
    assert all(float(rate) > 0 for rate in rates)
    assert "GiB" in peaks
    reference, ours = map(float, losses.split(" / "))
    assert ours == pytest.approx(reference, rel=1e-3)


def test_a_table_of_the_small_steps(
    benchmark_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What does not fit is tried with fewer images."""
    row = benchmark_file.measure
    asked = []

    def compare(*_sides: Any, photos: int, **_others: Any) -> Any:
        asked.append(photos)
        if photos > 2:
            raise RuntimeError("the side 'reference' ended")
        measured = SimpleNamespace(wall=2.0, peak=2**30, result=np.array([1.5, 0]))
        return measured, SimpleNamespace(wall=0.5, peak=2**31, result=np.array([1.25, 3 * 2**30]))

    monkeypatch.setitem(row.__globals__, "compare", compare)
    small = benchmark_file.Size({"SBNet": 48}, {"SBNet": (3, 2)}, (60, 72), 4, 1)
    printed = row("SBNet", small, "cpu", "32")
    assert asked == [3, 2]
    assert "2 images a step, 32 | 4.00 | 16.00 | 4.0x | 1.0 / 3.0 GiB | 1.5000 / 1.2500 |" in printed
    assert "SBNet, 3 images a step: the side 'reference' ended" in capfd.readouterr().err
    monkeypatch.setitem(small.photos, "SBNet", (4,))
    assert "not measured" in row("SBNet", small, "cpu", "32")


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (printed,) = run_benchmarks(["full_steps"])
    assert "No GPU: PyTorch sees none on this machine" in printed
    assert "full_steps.py small" in printed
