"""The run: every chosen step brought up to date in order, measured and shown in the report as it ends."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from sbnet.backbones.settings import check_weights
from sbnet.config.recipe import Choice, Recipe
from sbnet.data.io.files import stored_json
from sbnet.engine.training_files import CHECKPOINT
from sbnet.errors import SBNetError
from sbnet.networks.build import outline
from sbnet.pipeline.data import open_data
from sbnet.pipeline.folder import open_folder
from sbnet.pipeline.graph import Step, choose, recipe_steps
from sbnet.pipeline.measure import METRICS, miou_note, update_metrics
from sbnet.pipeline.parts import check_apart
from sbnet.pipeline.state import RunState, Status
from sbnet.registry import METHODS
from sbnet.report.page import write_report
from sbnet.report.tables import duration
from sbnet.steps.spec import StepSpec, load_object

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
    """Run `recipe` in `folder`: what is done is skipped, what changed runs again, what is half done resumes.

    start, stop: first and last step; the steps before must be done. only: that step and whatever it needs.
    Returns the content of metrics.json. Raises SBNetError for bad input (finished work is kept); after an interrupt or a
    crash the same call resumes.
    """
    folder, console = Path(folder), console or Console(quiet=True)
    steps = recipe_steps(recipe)
    chosen, before = choose(steps, start, stop, only)
    recipe.runtime.torch_device()
    _check_methods(recipe, chosen)
    check_apart(folder, chosen)
    with open_folder(folder, recipe):
        state = RunState(folder, steps, recipe, open_data(recipe, folder, steps))
        _head(state, console)
        _check_before(state, before)
        recipe.write(folder / "recipe.yaml")
        for step in chosen:
            _bring_up_to_date(state, step, f"{steps.index(step) + 1:2}/{len(steps)}", console)
        metrics = update_metrics(state, again=only == "evaluate")
        _write_report(state)
        return metrics


def _check_methods(recipe: Recipe, steps: Sequence[Step]) -> None:
    """Missing weights, a missing library, code that cannot be imported, a backbone that lacks what a network reads: known
    before anything runs.
    """
    for role in dict.fromkeys(step.spec.key.partition(".")[0] for step in steps):
        if isinstance(choice := getattr(recipe, role), Choice) and choice.name in METHODS:
            METHODS[choice.name].check(choice.settings, recipe)
    for spec in (step.spec for step in steps):
        _load(spec, recipe)
        if (backbone := spec.starts_from) is None:
            continue
        check_weights(spec.weights, backbone.name, backbone.weights)
        if spec.trains:
            try:
                outline(f"{spec.trains}-{backbone.name}", **backbone.options)
            except SBNetError as error:
                raise SBNetError(f"{spec.key}: {error}") from error
            except Exception as error:  # a plug-in's code may raise anything
                raise _unloadable(spec, recipe, f"the network '{spec.trains}'", error) from error


def _load(spec: StepSpec, recipe: Recipe) -> None:
    """Raises SBNetError, with the method's name, where a step's functions cannot be loaded."""
    for place, load in ((spec.run, spec.load), (spec.variants, partial(load_object, spec.variants))):
        try:
            if place and not callable(load()):
                raise TypeError("not a function")
        except Exception as error:  # a plug-in's code may raise anything
            raise _unloadable(spec, recipe, str(place), error) from error


def _unloadable(spec: StepSpec, recipe: Recipe, what: str, error: Exception) -> SBNetError:
    choice = getattr(recipe, spec.key.partition(".")[0])
    method = f"method '{choice.name}' ({METHODS.origin(choice.name)}), " if isinstance(choice, Choice) else ""
    return SBNetError(
        f"{method}step '{spec.name}': {what} cannot be loaded ({type(error).__name__}: {error}); fix or reinstall it, or "
        "choose another method"
    )


def _head(state: RunState, console: Console) -> None:
    train, val = state.data.train, state.data.val
    lists = f"{len(train)} train images" + (f", {len(val)} val images" if val else "")
    _print(console, f"{state.recipe.name} in {state.folder}: {lists}, {len(train.classes) - 1} classes")
    if not any(image.mask for image in (*train, *(val or ()))):
        _print(console, "no ground truth, so nothing is measured; the report's pictures show the progress")


def _check_before(state: RunState, names: set[str]) -> None:
    """The steps before --from must be done, or another recipe's output would be read."""
    for step in state.steps:
        if step.name in names and (missing := state.status(step).missing):
            raise SBNetError(
                f"{state.folder}: step '{step.name}' is required first, and it is {missing}; "
                f"start with it (--from {step.name})"
            )


def _bring_up_to_date(state: RunState, step: Step, number: str, console: Console) -> None:
    status = state.status(step)
    label = f"{number} {step.name:<19} {step.spec.does}"
    if status.done is not None:
        took = duration(status.done["seconds"])
        _measure(state, step, f"{label}: skipped (already done in {took})", console)
        return
    how = {
        "new": "starting",
        "half done": "resuming",
        "stale": f"re-running ({status.reason})",
    }[status.state]
    _print(console, f"{label}: {how}", style="dim")
    seconds = _work(state, step, status, console)
    _measure(state, step, f"{label}: done, {duration(seconds)}", console)
    try:
        _write_report(state)
    except Exception as error:  # the page must not end a long run; at the end it is written again, or fails
        logger.warning("the report could not be written after %s: %s", step.name, error)


def _work(state: RunState, step: Step, status: Status, console: Console) -> float:
    """Run the step; gives its seconds, those before an interruption included."""
    state.begin(step, status)
    begun = time.perf_counter()
    try:
        facts = step.spec.load()(step.spec.settings, state.context(step))
    except BaseException as error:
        with suppress(SBNetError):  # a full disk refuses this too; what stopped the step is what is reported
            if isinstance(error, SBNetError):
                state.take_back(step)
            state.add_seconds(step, time.perf_counter() - begun)
        folder = shlex.quote(str(state.folder))
        _print(console, f"{step.name} stopped; finished work is kept. Resume with: sbnet run {folder}")
        raise
    seconds = state.add_seconds(step, time.perf_counter() - begun)
    state.finish(step, status, seconds, facts)
    (state.folder / step.name / CHECKPOINT).unlink(missing_ok=True)
    for note in (facts or {}).get("notes", ()):
        _print(console, f"      {note}")
    return seconds


def _measure(state: RunState, step: Step, line: str, console: Console) -> None:
    """Measure, and print the step's line. A broken ground truth must not end a long run: it is reported at its end."""
    try:
        note = miou_note(update_metrics(state), step, state)
    except SBNetError as error:
        note = f"not measured: {error}"
    _print(console, line + (f", mIoU {note}" if note else ""))


def _write_report(state: RunState) -> None:
    recipe = state.recipe
    write_report(
        state.folder,
        title=f"SBNet: {recipe.name}",
        about=recipe.about,
        recipe=recipe.to_yaml(),
        metrics=stored_json(state.folder / METRICS),
        train=state.data.train,
        val=state.data.val,
        steps=[step.spec for step in state.steps],
        inputs={step.name: state.inputs(step) for step in state.steps},
    )


def _print(console: Console, text: str, *, style: str = "") -> None:
    """A line as it is: paths and messages may hold what looks like markup."""
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
