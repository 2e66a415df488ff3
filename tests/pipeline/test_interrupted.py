"""Steps that are stopped, refused or killed, and finished trainings that were to be replaced."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fake_steps import STEPS, FakeSteps, small_recipe
from sbnet.config.recipe import load_recipe
from sbnet.data.io.files import read_json, write_json
from sbnet.errors import SBNetError
from sbnet.pipeline import run


def stop(context: Any) -> None:
    """An interrupt after the first output."""
    (context.folder / "part").write_text("")
    raise KeyboardInterrupt


def refuse(context: Any) -> None:
    raise SBNetError("no such thing")


def interrupted(out: Path, steps: FakeSteps, step: str, *recipe: Any) -> None:
    steps.before[step] = stop
    with pytest.raises(KeyboardInterrupt):
        run(small_recipe(*recipe), out)
    steps.before.clear()
    steps.take()


def test_a_refused_setting_costs_no_finished_training(
    done: Path, shared_data: Path, steps: FakeSteps
) -> None:
    steps.before["train_cam"] = refuse
    with pytest.raises(SBNetError, match="no such thing"):
        run(small_recipe(shared_data, "seeds.train.epochs=777"), done)
    steps.before.clear()
    steps.take()
    run(small_recipe(shared_data), done)
    assert steps.take() == []
    assert not list(done.glob(".*.replaced"))


def test_a_training_that_was_to_be_replaced_comes_back_with_its_settings(
    done: Path, shared_data: Path, steps: FakeSteps
) -> None:
    for epochs in (777, 778):
        interrupted(done, steps, "train_cam", shared_data, f"seeds.train.epochs={epochs}")
    run(small_recipe(shared_data), done)
    assert steps.take() == []
    assert not list(done.glob(".*.replaced"))


def test_a_refused_start_changes_no_recipe(done: Path, shared_data: Path) -> None:
    before = (done / "recipe.yaml").read_text()
    with pytest.raises(SBNetError, match=r"'crf' is required first, and it is stale: low_alpha .*--from crf"):
        run(small_recipe(shared_data, "crf.low_alpha=3.21"), done, start="train_segmenter")
    assert (done / "recipe.yaml").read_text() == before


def test_an_interrupted_change_that_no_reader_sees_stays_unseen(
    done: Path, shared_data: Path, steps: FakeSteps
) -> None:
    changed = (shared_data, "crf.mask_alpha=6.21")
    interrupted(done, steps, "crf", *changed)
    run(small_recipe(*changed), done)
    assert steps.take() == ["crf"]
    interrupted(done, steps, "crf", shared_data)
    run(small_recipe(shared_data), done)
    assert steps.take() == ["crf"]


def test_leftovers_of_a_killed_run_go(done: Path, shared_data: Path) -> None:
    (done / ".crf.1234.old").mkdir()
    (done / "crf" / ".x.png.1234.tmp").write_text("")
    run(small_recipe(shared_data), done)
    assert not (done / ".crf.1234.old").exists()
    assert not (done / "crf" / ".x.png.1234.tmp").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug"), SBNetError("bad image")])
def test_an_interrupted_step_resumes(
    out: Path, shared_data: Path, steps: FakeSteps, error: BaseException
) -> None:
    def part_way(context: Any) -> None:
        (context.folder / "part").write_text("")
        raise error

    def check(context: Any) -> None:
        assert (context.folder / "part").exists()

    text = io.StringIO()
    recipe = small_recipe(shared_data, "seeds.method=seam")
    steps.before["crf"] = part_way
    with pytest.raises(type(error)):
        run(recipe, out, console=Console(file=text, width=200))
    assert steps.take() == STEPS[3:6]
    assert f"crf stopped; finished work is kept. Resume with: sbnet run {out}" in text.getvalue()
    assert not (out / "crf" / "done.json").exists()
    assert "cam" in read_json(out / "metrics.json")
    state = read_json(out / "crf" / "state.json")
    write_json(out / "crf" / "state.json", state | {"seconds": 50000})
    steps.before["crf"] = check
    run(load_recipe(out), out, console=Console(file=text, width=200))
    assert steps.take() == STEPS[5:]
    assert ": resuming" in text.getvalue()
    assert 50000 <= read_json(out / "crf" / "done.json")["seconds"] < 60000


def test_a_half_done_step_with_other_settings_starts_from_scratch(
    done: Path, shared_data: Path, steps: FakeSteps
) -> None:
    interrupted(done, steps, "crf", shared_data, "crf.mask_alpha=5.21")
    assert (done / "crf" / "part").exists()
    run(small_recipe(shared_data, "crf.mask_alpha=6.21"), done)
    assert not (done / "crf" / "part").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_run_resumes(done: Path, shared_data: Path, steps: FakeSteps) -> None:
    def die(context: Any) -> None:
        (context.folder / "part").write_text("")
        os._exit(9)

    recipe = small_recipe(shared_data, "refine.train.epochs=777")
    steps.before["train_affinity"] = die
    child = os.fork()
    if child == 0:
        try:
            run(recipe, done)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    steps.before["train_affinity"] = lambda context: (context.folder / "part").unlink()
    run(recipe, done)
    assert steps.take() == STEPS[6:]
