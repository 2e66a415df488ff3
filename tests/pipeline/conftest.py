"""A finished run of fake steps, made once; tests get copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fake_steps import FakeSteps, fake_steps, small_recipe
from sbnet.pipeline import run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture(scope="session")
def finished(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No test changes it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with fake_steps():
        run(small_recipe(shared_data), folder)
    return folder


@pytest.fixture
def done(finished: Path, out: Path, steps: FakeSteps) -> Path:
    """A finished run of the test's own."""
    shutil.copytree(finished, out)
    return out
