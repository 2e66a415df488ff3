"""Both sides of the benchmarks, in this process and on small inputs: they run, and agree."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark_file() -> Iterator[Callable[[str], Any]]:
    """Benchmarks by name; they import each other, and are forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
    for name in {path.stem for path in FOLDER.glob("*.py")} & (set(sys.modules) - before):
        del sys.modules[name]


def test_crf(benchmark_file: Callable[[str], Any]) -> None:
    """Its peer lives in an environment of its own, and stands beside us in the golden numbers."""
    crf = benchmark_file("crf")
    size = (48, 60)
    inputs = {"image": crf.photo(None, size), "probabilities": crf.blobs(4, 0, size)[None]}
    marginals = crf.ours(inputs, **crf.DEEPLAB, negligible=0.0)()
    np.testing.assert_allclose(marginals.sum(1), 1, atol=1e-5)


def test_random_walk(benchmark_file: Callable[[str], Any]) -> None:
    walk = benchmark_file("random_walk")
    inputs = walk.case(12, 18)
    np.testing.assert_allclose(walk.ours(inputs)(), walk.dense(inputs)(), atol=2e-5)


def test_evaluation(benchmark_file: Callable[[str], Any], tmp_path: Path) -> None:
    """In processes of their own, as ever: the peer's starts others, which a process of many threads should not."""
    evaluation, harness = benchmark_file("evaluation"), benchmark_file("harness")
    names = evaluation.make_files(tmp_path, 1)
    sides = [harness.Side(name, evaluation.__file__, name) for name in ("loops", "ours")]
    options = {"folder": str(tmp_path), "names": names, "curve": True, "processes": 1}
    there, here = harness.compare(*sides, {}, runs=1, **options)
    np.testing.assert_allclose(here.result, there.result, atol=1e-12)
    assert len(here.result) == evaluation.THRESHOLDS


@pytest.mark.parametrize("resize", ["scipy", "Pillow"])
def test_samples(benchmark_file: Callable[[str], Any], resize: str, tmp_path: Path) -> None:
    boundaries, loader = benchmark_file("boundaries"), benchmark_file("loader")
    for module in (boundaries, loader):
        module.SIZE, module.CROP = (48, 64), 56
    boundaries.LONG_SIDE, boundaries.SAMPLES = (56, 80), 2
    photo, label, maps = boundaries.make_files(tmp_path, [])
    there = np.stack(boundaries.peer({}, maps=maps, resize=resize)())
    here = np.stack(boundaries.ours({}, label=label)())
    assert here.shape == there.shape == (2, 21, 56, 56)
    assert ((there > 0.5) == (here > 0.5)).mean() > 0.97
    options = {"photo": photo, "maps": maps, "label": label, "targets": resize}
    expected = np.stack(loader.peer({}, **options)())
    found = np.stack(loader.ours({}, **options, augmentation="exact")())
    assert np.abs(expected - found).mean() < 0.05


@pytest.mark.parametrize("backward", [False, True])
def test_affinity(
    benchmark_file: Callable[[str], Any], backward: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    affinity = benchmark_file("affinity")
    monkeypatch.setattr(affinity, "GRID", (12, 14))
    inputs = {"features": np.random.default_rng(0).standard_normal((1, 8, 12, 14)).astype(np.float32)}
    here, there = (side(inputs, backward=backward)() for side in (affinity.ours, affinity.indices))
    np.testing.assert_allclose(here, there, atol=1e-6)


def test_cam_inference(benchmark_file: Callable[[str], Any]) -> None:
    inference, photo = benchmark_file("cam_inference"), benchmark_file("crf").photo(None, (48, 56))
    here, there = (side({"photo": photo}, scales=[1.0])() for side in (inference.ours, inference.peer))
    assert np.abs(here - there).max() < 0.03 * np.ptp(there)


def test_crf_step(
    benchmark_file: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = benchmark_file("crf_step")
    monkeypatch.setattr(step, "ROUNDS", 1)
    alone, by_workers = step.rates(tmp_path, 2)
    assert min(alone, *by_workers.values()) > 0
    assert 1 in by_workers


def test_depthwise(benchmark_file: Callable[[str], Any]) -> None:
    depthwise = benchmark_file("depthwise")
    images = np.random.default_rng(0).standard_normal((1, 3, 64, 80)).astype(np.float32)
    there, here = (side({"images": images})() for side in (depthwise.pytorch, depthwise.ours))
    np.testing.assert_allclose(here, there, atol=1e-4 * np.abs(there).max())
