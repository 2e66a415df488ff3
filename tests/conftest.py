"""Fixtures for all tests."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import Tensor

import fake_stages
import ways

FOLDER = Path(__file__).parent / "golden"

settings.register_profile("any machine", deadline=None)  # how long an example takes says nothing of the code
settings.load_profile("any machine")


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
    """Photos that no test changes."""
    return fake_stages.make_data(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> fake_stages.FakeStages:
    return fake_stages.FakeStages(monkeypatch)
