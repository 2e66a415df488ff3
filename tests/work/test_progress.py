"""What a training and an inference tell while they work, on a terminal and without one."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from sbnet.work import progress


@pytest.mark.parametrize("terminal", [False, True])
def test_losses_rate_and_time_left_are_told(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    console = Console(file=text, width=200, force_terminal=terminal, no_color=True)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    row = {"step": 3, "images_per_second": 7.25, "loss": 0.5, "class": 0.25, "boundary": 0.25}
    with progress.training_progress("train CAM", 10, start=2) as update:
        update(3, row)
    assert [*progress.photo_progress("infer", "ab", 2)] == ["a", "b"]
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())
    for word in ("train CAM", "3/10", "7.2 images/s", "loss 0.5", "class 0.25", "boundary 0.25"):
        assert word in told, told
    assert re.search(r"\d s left|\d:\d\d|-:--:--", told), told
    assert "infer" in told
    assert "2/2" in told
