from pathlib import Path

import pytest

import fake_stages


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos that no test changes."""
    return fake_stages.make_data(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> fake_stages.FakeStages:
    return fake_stages.FakeStages(monkeypatch)
