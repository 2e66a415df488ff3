"""The verbs `run`, `evaluate` and `report`, and what the others that work in a run folder share."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)
GROUP = Group("Runs", sort_key=0)
Assignment = Annotated[str, Parameter(show=True)]  # KEY=VALUE


def add_commands(app: App) -> None:
    for verb in (run, evaluate, report):
        app.command(verb, group=GROUP)


def run(
    recipe: str,
    /,
    *settings: Assignment,
    out: Path | None = None,
    data: Path | None = None,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    stop: Annotated[str | None, Parameter(name="--to")] = None,
) -> None:
    """Run a recipe, from images and image-level labels to masks, figures and a report page.

    Finished steps are skipped, changed ones run again, interrupted ones resume. Examples:

      sbnet run quickstart
      sbnet run voc12-lite --data images data.labels=labels.txt data.val=
      sbnet run voc12-lite --data VOC2012 data.train=train_aug seeds.train.epochs=3
      sbnet run voc12-lite --data VOC2012 seeds.method=cam --out runs/plain
      sbnet run runs/voc12-lite --from train_affinity --to propagate

    Parameters
    ----------
    recipe
        A recipe (see `sbnet recipes`), a YAML file, or the folder of a run to resume.
    settings
        KEY=VALUE pairs that replace the recipe's, such as seeds.train.epochs=3 or seeds.infer.scales=1,1.5.
    out
        The run folder; by default runs/RECIPE.
    data
        A folder of images whose layout is recognized: PASCAL VOC's or COCO's. Sets data.source and data.root.
    start
        The first step; those before must be done.
    stop
        The last step.
    """
    if data:
        settings = (f"data.source={_source(data)}", f"data.root={data}", *settings)
    start, stop = (step and step.replace("-", "_") for step in (start, stop))  # typed as verbs or as folders
    bring_up_to_date(recipe, out, settings, start=start, stop=stop)


def evaluate(run: Path, /) -> None:
    """Measure everything in a run folder again, against the ground truth.

    Parameters
    ----------
    run
        A run folder.
    """
    bring_up_to_date(run_folder(run), only="evaluate")


def report(run: Path, /) -> None:
    """Write a run's HTML page again.

    Parameters
    ----------
    run
        A run folder.
    """
    bring_up_to_date(run_folder(run), only="report")


def _source(folder: Path) -> str:
    """The data set whose layout the folder has."""
    from sbnet.errors import SBNetError, check_folder
    from sbnet.registry import DATASETS

    if not folder.exists():
        raise SBNetError(f"--data {folder}: no such folder; relative paths start at {Path.cwd()}")
    check_folder(folder)
    for one in DATASETS.entries():
        try:
            if one.recognizes(folder):
                return one.name
        except Exception as error:  # a plug-in's reader may raise anything
            logger.warning(
                "dataset '%s' (%s) cannot tell whether %s is its own (%s: %s); fix or uninstall it",
                *(one.name, DATASETS.origin(one.name), folder, type(error).__name__, error),
            )
    return "voc"  # whose reader says what is missing


def run_folder(path: Path) -> str:
    """Raises SBNetError where it is none."""
    from sbnet.errors import SBNetError, check_folder

    if path.is_dir():
        check_folder(path)
    if not (path / "recipe.yaml").is_file():
        start = f"sbnet run quickstart --out {shlex.quote(str(path))}"
        raise SBNetError(f"{path} is not a run folder (no recipe.yaml); start one: {start}")
    return str(path)


def run_console() -> Console:
    """Wide enough for tables where the output is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)


def bring_up_to_date(
    recipe: str,
    out: Path | None = None,
    settings: Iterable[str] = (),
    *,
    start: str | None = None,
    stop: str | None = None,
    only: str | None = None,
) -> None:
    """Run the steps of a recipe or run that are chosen; print the figures and where the report is."""
    from sbnet import api

    console = run_console()
    result = api.run(recipe, out, settings, start=start, stop=stop, only=only, console=console)
    if result.metrics:
        from sbnet.report.tables import metrics_table

        console.print(metrics_table(result.metrics, result.measures))
    console.print(f"report: {result.report}", highlight=False, soft_wrap=True)
