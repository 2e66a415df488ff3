"""The verb `sweep`: settings tried on what a run has stored."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from sbnet.cli.runs import GROUP, Assignment, run_console, run_folder

if TYPE_CHECKING:
    from sbnet.pipeline.sweep import SweepResult


def add_commands(app: App) -> None:
    app.command(sweep, group=GROUP)


def sweep(
    run: Path,
    /,
    *settings: Assignment,
    images: int = 0,
    choose_on: Path | None = None,
    out: Path | None = None,
    top: int = 10,
) -> None:
    """Try settings of a step, such as the CRF or the propagation, on what a run has stored; measure every combination.

    The best is chosen on every other training image with ground truth, and reported on the rest, so that the choice does
    not inflate the figure. The run does not change; if you adopt the best, its metrics.json includes both halves. Examples:

      sbnet sweep runs/voc12-lite refine.propagate.background_alpha=8,12,16,24 refine.propagate.steps=16,32,64
      sbnet sweep runs/voc12-lite crf.mask_alpha=4,8,12,24 crf.bilateral=80,13,10 crf.bilateral=67,3,4
      sbnet sweep runs/voc12-lite crf.iterations=0 crf.mask_alpha=4,8,12,24      (the CAM alone)

    Parameters
    ----------
    run
        A run folder; the steps before the swept one must be done.
    settings
        KEY=VALUE,VALUE of one step that trains nothing; where a value is itself a list, one KEY=VALUE per value.
    images
        The most images to measure, for a quick look; 0 for all.
    choose_on
        A list of training images to choose on, one name per line; all others are reported on.
    out
        Where sweep.json and sweep.png go; by default RUN/sweeps/STEP.
    top
        Rows of the table that are printed.
    """
    from rich.table import Table

    from sbnet.pipeline.sweep import sweep as try_settings
    from sbnet.report.tables import percent

    run_folder(run)
    result = try_settings(run, settings, images=images, choose_on=choose_on, out=out)
    chosen_on, held_out = f"chosen on\n{result.chosen_on} images", f"held out\n{result.reported_on} images"
    table = Table(*result.best.values, chosen_on, held_out, "", caption="mIoU, percent")
    for trial in result.shown(top):
        values = [_as_typed(value) for value in trial.values.values()]
        note = " ".join(
            word for word, told in (("best", result.best), ("recipe", result.recipe)) if told is trial
        )
        table.add_row(*values, percent(trial.miou), percent(trial.held_out), note)
    console = run_console()
    console.print(table)
    for line in (*_advice(run, result), f"table: {result.table}", f"picture: {result.picture}"):
        console.print(line, highlight=False, soft_wrap=True)


def _advice(run: Path, result: SweepResult) -> list[str]:
    """The command that adopts the best, and what speaks against it."""
    from sbnet.report.tables import percent

    best, recipe = result.best, result.recipe
    if best is recipe:
        return ["the run's own settings are the best of these"]
    taken = " ".join(f"{key}={_as_typed(value)}" for key, value in best.values.items())
    lines = [
        f"to adopt the best, and run again the steps that depend on it: sbnet run {shlex.quote(str(run))} {taken}",
        f"metrics.json then also includes the {result.chosen_on} images that it was chosen on; report the held-out "
        f"{percent(best.held_out)} %",
    ]
    if (best.held_out or 0) < (recipe.held_out or 0):
        lines.append(
            f"on the held-out images the run's own settings are better ({percent(recipe.held_out)} %): the gain may be "
            "chance"
        )
    return lines


def _as_typed(value: object) -> str:
    """A setting's value as it is written on the command line."""
    if isinstance(value, list):
        return ",".join(map(_as_typed, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
