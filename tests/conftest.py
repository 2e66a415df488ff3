"""Fixtures for all tests."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import Tensor

import ways

FOLDER = Path(__file__).parent / "golden"

# Neither time nor chance decides: every machine draws the same examples.
settings.register_profile("default", deadline=None, derandomize=True)
# `pytest -m search`: the property tests with examples of their own in every run. A failure prints how to repeat it.
settings.register_profile("search", deadline=None, database=None, print_blob=True)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "search":
        settings.load_profile("search")
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        _share_cores(workers)


def _share_cores(workers: int) -> None:
    """Each of pytest-xdist's workers and what it starts take their part of the cores alone."""
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    torch.set_num_threads(threads)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


LONGEST = ("test_kill_and_resume", "test_coming_from", "test_coco", "test_segmenters", "test_plugin")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests, which share fixtures, run in one process; the longest files come first."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))
    if config.option.markexpr == "search":
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker("search")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Weights that a test or its fixtures draw depend neither on the tests before it nor are those of a run's seed 0."""
    torch.manual_seed(1729)


@pytest.fixture(scope="session", autouse=True)
def plain_output() -> Iterator[None]:
    """What the command prints follows neither a CI's wish for colours nor the developer's terminal or debugging."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "SBNET_DEBUG"):
            patch.delenv(name, raising=False)
        patch.setenv("COLUMNS", "80")
        yield


class Golden:
    """The golden files: arrays, tables, and states of the reference networks made by `golden/fill.py`'s rule."""

    def __init__(self) -> None:
        self.fill = runpy.run_path(str(FOLDER / "fill.py"))["fill"]

    def load(self, name: str, seed: int) -> Any:
        """`name`.npz as a dict of arrays, or `name`.json as what it holds."""
        path = FOLDER / f"seed{seed}" / name
        if path.with_suffix(".json").exists():
            return json.loads(path.with_suffix(".json").read_text())
        with np.load(path.with_suffix(".npz")) as arrays:
            return dict(arrays)

    def state(self, name: str, seed: int) -> dict[str, Tensor]:
        """State dict of reference network `name` ('sbnet', 'affinitynet', 'deeplabv2'), under its names."""
        shapes = self.load(f"{name}_state", seed)
        values = {key: self.fill(key.removeprefix("base."), shape, seed) for key, shape in shapes.items()}
        return {key: torch.from_numpy(value) for key, value in values.items()}


@pytest.fixture(scope="session", params=ways.WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """The test runs in each of the ways that an op has."""
    return request.param


@pytest.fixture(scope="session")
def golden() -> Golden:
    return Golden()


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that no test changes."""
    import fake_steps

    return fake_steps.make_data(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    import fake_steps  # late: it imports every step, which most tests do without

    return fake_steps.FakeSteps(monkeypatch)
