"""Verbs that work in a run folder: `run`, one for each stage, `evaluate`, `report`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter

if TYPE_CHECKING:
    from sbnet.pipeline.sweep import SweepResult

STAGES = {
    "train-cam": ("train_cam", "Train the CAM network, and whatever it needs."),
    "infer-cam": ("infer_cam", "Class activation maps of the training photos."),
    "refine": ("refine", "Dense CRF over the CAMs: confident labels, and masks to measure."),
    "train-affinity": ("train_affinity", "Train AffinityNet, or IRN, on the confident labels."),
    "random-walk": ("random_walk", "Spread the CAMs along the affinities: the pseudo masks."),
    "train-segmenter": ("train_segmenter", "Train the segmenter on the pseudo masks."),
    "predict-val": ("predict", "Masks of the run's val photos from its segmenter."),
}

Start = Annotated[str | None, Parameter(name="--from")]
Stop = Annotated[str | None, Parameter(name="--to")]
Settings = Annotated[str, Parameter(show=True)]


def add_commands(app: App) -> None:
    group = Group("Runs", sort_key=0)
    stages = Group("Stages of a run", sort_key=1)
    app.command(run, group=group)
    app.command(evaluate, group=group)
    app.command(report, group=group)
    app.command(sweep, group=group)
    for verb, (step, what) in STAGES.items():
        app.command(_stage_verb(step, what), name=verb, group=stages)


def run(
    recipe: str,
    /,
    *settings: Settings,
    out: Path | None = None,
    data: Path | None = None,
    start: Start = None,
    stop: Stop = None,
) -> None:
    """Run a recipe, from photos and image labels to masks, figures and a report page.

    What is done is kept, what changed is redone, what was interrupted goes on. Examples:

      sbnet run quickstart
      sbnet run voc12-lite --data photos data.labels=labels.txt data.val=
      sbnet run voc12-lite --data VOC2012 data.train=train_aug train_cam.epochs=3
      sbnet run runs/voc12-lite --from train_affinity --to random_walk

    Parameters
    ----------
    recipe
        A recipe (see `sbnet recipes`), a YAML file, or the folder of a run to go on with.
    settings
        KEY=VALUE pairs that replace the recipe's, such as train_cam.epochs=3 or infer_cam.scales=1,1.5.
    out
        The run folder; by default runs/RECIPE.
    data
        A folder in PASCAL VOC's layout: short for data.source=voc data.root=FOLDER; or in COCO's (data.source=coco).
    start
        The first step; those before must be done.
    stop
        The last step.
    """
    assignments = []
    if data:
        from sbnet.data.datasets.coco.folder import is_coco

        assignments = [f"data.source={'coco' if is_coco(data) else 'voc'}", f"data.root={data}"]
    _go(recipe, out, [*assignments, *settings], start=start, stop=stop)


def evaluate(run: Path, /) -> None:
    """Measure everything in a run folder anew, against the true masks.

    Parameters
    ----------
    run
        A run folder.
    """
    _go(_run_folder(run), None, [], only="evaluate")


def report(run: Path, /) -> None:
    """Write a run's HTML page anew.

    Parameters
    ----------
    run
        A run folder.
    """
    _go(_run_folder(run), None, [], only="report")


def sweep(
    run: Path,
    /,
    *settings: Settings,
    photos: int = 0,
    choose_on: Path | None = None,
    out: Path | None = None,
    top: int = 10,
) -> None:
    """Try settings of the CRF or of the walk on what a run has stored, and measure every combination.

    The best is chosen on every other training photo with a true mask, and reported on the rest, so that the figure is
    not flattered by the choice; the run's own metrics.json, once it takes the best over, counts both halves. Nothing in
    the run changes. Examples:

      sbnet sweep runs/voc12-lite random_walk.background_alpha=8,12,16,24 random_walk.steps=16,32,64
      sbnet sweep runs/voc12-lite refine.mask_alpha=4,8,12,24 refine.bilateral=80,13,10 refine.bilateral=67,3,4
      sbnet sweep runs/voc12-lite refine.iterations=0 refine.mask_alpha=4,8,12,24      (the CAM alone)

    Parameters
    ----------
    run
        A run folder; the steps before the one that is tried must be done.
    settings
        KEY=VALUE,VALUE of refine or of random_walk; where a value is itself a list, one KEY=VALUE a value.
    photos
        At most so many photos, for a quick look; 0 for all.
    choose_on
        A list of names of training photos to choose on; all others are reported on.
    out
        Where sweep.json and sweep.png go; by default RUN/sweeps/STEP.
    top
        Rows of the table that are printed.
    """
    from rich.console import Console
    from rich.table import Table

    from sbnet.pipeline.sweep import sweep as try_settings
    from sbnet.report.tables import percent

    _run_folder(run)
    result = try_settings(run, settings, photos=photos, choose_on=choose_on, out=out)
    console = Console(width=None if sys.stdout.isatty() else 120)
    chosen_on, held_out = f"chosen on\n{result.chosen_on} photos", f"held out\n{result.reported_on} photos"
    table = Table(*result.best.values, chosen_on, held_out, "", caption="mIoU, percent")
    for trial in result.shown(top):
        values = [_as_typed(value) for value in trial.values.values()]
        note = " ".join(
            word for word, told in (("best", result.best), ("recipe", result.recipe)) if told is trial
        )
        table.add_row(*values, percent(trial.miou), percent(trial.held_out), note)
    console.print(table)
    for line in (*_advice(run, result), f"table: {result.table}", f"picture: {result.picture}"):
        console.print(line, highlight=False, soft_wrap=True)


def _advice(run: Path, result: SweepResult) -> list[str]:
    """How the best is taken over, and what speaks against it."""
    from sbnet.report.tables import percent

    best, recipe = result.best, result.recipe
    if best is recipe:
        return ["the run's own settings are the best of these"]
    taken = " ".join(f"{key}={_as_typed(value)}" for key, value in best.values.items())
    lines = [
        f"to take the best over, and redo the steps that read its masks or labels: sbnet run {run} {taken}",
        f"the run's metrics.json then counts the {result.chosen_on} photos that it was chosen on, too, and flatters "
        f"it; the figure to report is the held out {percent(best.held_out)} %",
    ]
    if (best.held_out or 0) < (recipe.held_out or 0):
        lines.append(
            f"on the held out photos the run's own settings are better ({percent(recipe.held_out)} %): what the best "
            "gains may be chance"
        )
    return lines


def _as_typed(value: object) -> str:
    """A setting's value as it is written on the command line."""
    if isinstance(value, list):
        return ",".join(map(_as_typed, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _stage_verb(step: str, what: str) -> Callable[..., None]:
    def verb(run: Path, /, *settings: Settings) -> None:
        _go(_run_folder(run), None, list(settings), only=step)

    verb.__doc__ = f"""{what}

    Brings this stage of a run up to date, and whatever it needs.

    Parameters
    ----------
    run
        A run folder.
    settings
        KEY=VALUE pairs that replace the run's, such as {step}.{_example(step)}.
    """
    return verb


def _example(step: str) -> str:
    examples = {
        "infer_cam": "scales=1,1.5",
        "refine": "mask_alpha=6",
        "random_walk": "steps=128",
        "predict": "crf=no",
    }
    return examples.get(step, "epochs=3")


def _run_folder(path: Path) -> str:
    from sbnet.errors import SBNetError, check_folder

    if path.is_dir():
        check_folder(path)
    if not (path / "recipe.yaml").is_file():
        raise SBNetError(
            f"{path} is no run folder (no recipe.yaml); begin one: sbnet run quickstart --out {path}"
        )
    return str(path)


def _go(
    recipe: str,
    out: Path | None,
    settings: list[str],
    *,
    start: str | None = None,
    stop: str | None = None,
    only: str | None = None,
) -> None:
    from rich.console import Console

    from sbnet import api
    from sbnet.report import metrics_table

    console = Console(width=None if sys.stdout.isatty() else 120)
    result = api.run(
        recipe, out, settings, start=_step(start), stop=_step(stop), only=_step(only), console=console
    )
    if result.metrics:
        console.print(metrics_table(result.metrics))
    console.print(f"report: {result.report}", highlight=False, soft_wrap=True)


def _step(name: str | None) -> str | None:
    """Steps are typed as verbs (`train-cam`) or as folders (`train_cam`)."""
    return name.replace("-", "_") if name else name
