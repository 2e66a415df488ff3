"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sbnet.cli import execute


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command that must end with status 2 and one clean line on stderr, and gives that line."""

    def run(*arguments: str | Path) -> str:
        capsys.readouterr()
        assert execute([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("sbnet: ")
        assert "Traceback" not in error
        assert error.count("\n") == 1
        return error

    return run
