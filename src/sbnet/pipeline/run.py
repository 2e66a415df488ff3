"""The run: every chosen step brought up to date in order, measured and shown in the report as it ends."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from sbnet.engine.checkpoint import CHECKPOINT
from sbnet.errors import SBNetError
from sbnet.engine.model_file import network_name
from sbnet.engine.networks import REFERENCE, SEGMENTERS
from sbnet.pipeline.data import open_data
from sbnet.pipeline.folder import open_folder
from sbnet.pipeline.measure import miou_note, update_metrics
from sbnet.pipeline.state import RunState, Status, check_apart, not_done
from sbnet.pipeline.steps import Step, choose, recipe_steps
from sbnet.config.convert import plain
from sbnet.config.recipe import Recipe
from sbnet.report.page import duration
from sbnet.steps import report
from sbnet.methods.affinitynet import train as train_affinity
from sbnet.steps.workspace import Workspace

logger = logging.getLogger(__name__)


def run(
    recipe: Recipe,
    folder: str | Path,
    *,
    start: str | None = None,
    stop: str | None = None,
    only: str | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Run `recipe` in `folder`: what is done is kept, what is stale redone, what is half done continued.

    start, stop: first and last step; the steps before must be done. only: that step and whatever it needs.
    Returns the content of metrics.json. Raises SBNetError for bad input (finished work is kept); after an
    interrupt or a crash the same call goes on where it stood.
    """
    folder, console = Path(folder), console or Console(quiet=True)
    steps = recipe_steps(recipe)
    chosen, before = choose(steps, start, stop, only)
    recipe.runtime.torch_device()
    _check_weights(recipe, chosen)
    _check_library(chosen)
    _check_start(recipe, chosen)
    check_apart(folder, recipe, chosen)
    with open_folder(folder, recipe):
        state = RunState(folder, steps, recipe, open_data(recipe, folder))
        _head(state, console)
        _check_before(state, before)
        recipe.write(folder / "recipe.yaml")
        for step in chosen:
            _bring_up_to_date(state, step, f"{steps.index(step) + 1:2}/{len(steps)}", console)
        metrics = update_metrics(state, anew=only == "evaluate")
        report.write(folder, state.data.train, state.data.val)
        return metrics


def _check_weights(recipe: Recipe, steps: list[Step]) -> None:
    """A backbone that comes without weights must not be trained from random ones by oversight."""
    for step in steps:
        if not step.trains or step.settings.network:
            continue
        key, backbone, weights = "model.weights", recipe.model.backbone, recipe.model.weights
        if step.name == "train_segmenter":
            key, weights = "train_segmenter.weights", recipe.train_segmenter.weights
            backbone = recipe.train_segmenter.backbone or backbone
        if backbone in REFERENCE and weights == "auto":
            raise SBNetError(
                f"{key}: {backbone} comes without weights; give {key}=file:PATH of a state dict under the reference's "
                f"names (.pth or .safetensors) or of MXNet's .params, or {key}=none to begin with random ones"
            )


def _check_library(steps: list[Step]) -> None:
    """What the last training needs is asked for before the first."""
    for step in steps:
        if step.name == "train_segmenter" and not step.settings.network:
            SEGMENTERS[step.settings.family].check_installed()


def _check_start(recipe: Recipe, steps: list[Step]) -> None:
    """Whether AffinityNet can start from a CAM network that was made elsewhere is known before any CAM is made."""
    for step in steps:
        if step.name == "train_affinity" and "cam" in step.inputs and recipe.train_cam.network:
            name = network_name(recipe.train_cam.network)  # of other origin: it is read as model.backbone
            if name:
                train_affinity.check_start(name, recipe.model.backbone)


def _head(state: RunState, console: Console) -> None:
    train, val = state.data.train, state.data.val
    lists = f"{len(train)} photos to learn from" + (f", {len(val)} to measure on" if val else "")
    _print(console, f"{state.recipe.name} in {state.folder}: {lists}, {len(train.classes) - 1} classes")
    if not any(photo.mask for photo in (*train, *(val or ()))):
        _print(
            console,
            "no photo has a true mask, so nothing is measured: the report's pictures show how far it came",
        )


def _check_before(state: RunState, names: set[str]) -> None:
    """The steps before --from must be done, or a stranger's output would be read."""
    for step in state.steps:
        if step.name in names and (reason := not_done(state.status(step))) is not None:
            raise SBNetError(
                f"{state.folder}: step '{step.name}' is needed first, and it is {reason}; "
                f"begin with it (--from {step.name})"
            )


def _bring_up_to_date(state: RunState, step: Step, number: str, console: Console) -> None:
    status = state.status(step)
    label = f"{number} {step.name:<19} {step.does}"
    if status.state == "done":
        seconds = float(status.done["seconds"]) if status.done else 0.0
        _measure(state, step, f"{label}: done before, {duration(seconds)}", console)
        return
    how = {"new": "begins", "half done": "goes on", "stale": f"is redone ({status.reason})"}[status.state]
    _print(console, f"{label}: {how}", style="dim")
    seconds = _work(state, step, status, console)
    _measure(state, step, f"{label}: done, {duration(seconds)}", console)
    _renew_report(state, step)


def _work(state: RunState, step: Step, status: Status, console: Console) -> float:
    """Run the stage; gives its seconds, those before an interruption included."""
    state.begin(step, status)
    workspace = Workspace(
        folder=state.folder / step.name,
        inputs={name: state.folder / source for name, source in step.inputs.items()},
        train=state.data.train,
        val=state.data.val,
        model=state.recipe.model,
        runtime=state.recipe.runtime,
        predict=asdict(state.recipe.predict),
        recipe=plain(state.recipe),
    )
    begun = time.perf_counter()
    try:
        facts = step.module.run(step.settings, workspace)
    except BaseException as error:
        with suppress(SBNetError):  # a full disk refuses this too; what stopped the stage is what is told
            if isinstance(error, SBNetError):
                state.take_back(step)
            state.add_seconds(step, time.perf_counter() - begun)
        _print(console, f"{step.name} stopped; finished work is kept. Go on with: sbnet run {state.folder}")
        raise
    seconds = state.add_seconds(step, time.perf_counter() - begun)
    state.finish(step, status, seconds, facts)
    (workspace.folder / CHECKPOINT).unlink(missing_ok=True)
    for note in facts.get("notes", ()):
        _print(console, f"      {note}")
    return seconds


def _measure(state: RunState, step: Step, line: str, console: Console) -> None:
    """Measure and print the step's line. A bad true mask may not end a long run: it is told of again at its end."""
    note = ""
    try:
        note = miou_note(update_metrics(state), step.name, state)
    except SBNetError as error:
        note = f"not measured: {error}"
    _print(console, line + (f", mIoU {note}" if note else ""))


def _renew_report(state: RunState, step: Step) -> None:
    """So that a long run can be watched. The page may not end one; at its end it is written again, or fails."""
    try:
        report.write(state.folder, state.data.train, state.data.val)
    except SBNetError as error:
        logger.warning("the report could not be written after %s: %s", step.name, error)
    except Exception:
        logger.warning("the report could not be written after %s", step.name, exc_info=True)


def _print(console: Console, text: str, *, style: str = "") -> None:
    """A line as it is: paths and messages may hold what looks like markup."""
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
