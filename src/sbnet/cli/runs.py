"""Verbs that work in a run folder: `run`, one for each step, `evaluate`, `report`, `sweep`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CommandCollisionError, Group, Parameter

if TYPE_CHECKING:
    from sbnet.methods.base import Method
    from sbnet.pipeline.sweep import SweepResult
    from sbnet.steps.spec import StepSpec

Start = Annotated[str | None, Parameter(name="--from")]
Stop = Annotated[str | None, Parameter(name="--to")]
Settings = Annotated[str, Parameter(show=True)]


def add_commands(app: App) -> None:
    group = Group("Runs", sort_key=0)
    app.command(run, group=group)
    app.command(evaluate, group=group)
    app.command(report, group=group)
    app.command(sweep, group=group)


def add_step_commands(app: App) -> None:
    """A verb for each step of a method's default settings, after all others: a name that is taken is left out."""
    steps = Group("Steps of a run", sort_key=1)
    for spec in _all_steps():
        with suppress(CommandCollisionError):
            app.command(_step_verb(spec), name=_verb(spec.name), group=steps)


def run(
    recipe: str,
    /,
    *settings: Settings,
    out: Path | None = None,
    data: Path | None = None,
    start: Start = None,
    stop: Stop = None,
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
    assignments = []
    if data:
        assignments = [f"data.source={_source(data)}", f"data.root={data}"]
    _go(recipe, out, [*assignments, *settings], start=start, stop=stop)


def evaluate(run: Path, /) -> None:
    """Measure everything in a run folder again, against the ground truth.

    Parameters
    ----------
    run
        A run folder.
    """
    _go(_run_folder(run), None, [], only="evaluate")


def report(run: Path, /) -> None:
    """Write a run's HTML page again.

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
    images: int = 0,
    choose_on: Path | None = None,
    out: Path | None = None,
    top: int = 10,
) -> None:
    """Try settings of the CRF or of the propagation on what a run has stored, and measure every combination.

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
    from rich.console import Console
    from rich.table import Table

    from sbnet.pipeline.sweep import sweep as try_settings
    from sbnet.report.tables import percent

    _run_folder(run)
    result = try_settings(run, settings, images=images, choose_on=choose_on, out=out)
    console = Console(width=None if sys.stdout.isatty() else 120)
    chosen_on, held_out = f"chosen on\n{result.chosen_on} images", f"held out\n{result.reported_on} images"
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


def _source(folder: Path) -> str:
    """The data set whose layout the folder has."""
    from sbnet.errors import SBNetError, check_folder
    from sbnet.registry import DATASETS

    if not folder.exists():
        raise SBNetError(f"--data {folder}: no such folder; relative paths start at {Path.cwd()}")
    check_folder(folder)
    found = next((one.name for one in DATASETS.entries() if one.recognizes(folder)), None)
    return found or "voc"  # whose reader says what is missing


def _all_steps() -> list[StepSpec]:
    """The steps that any method's default settings amount to, each name once."""
    from sbnet.registry import METHODS
    from sbnet.steps.settings import CrfSettings, PredictSettings
    from sbnet.steps.shared import crf_step, predict_step

    by_role: dict[str, list[StepSpec]] = {"seeds": [], "refine": [], "segmenter": []}
    for method in METHODS.entries():
        by_role[method.role] += _default_steps(method)
    crf, predict = crf_step(CrfSettings(), key="crf"), predict_step(PredictSettings(), images="val")
    ordered = [*by_role["seeds"], crf, *by_role["refine"], *by_role["segmenter"], predict]
    named: dict[str, StepSpec] = {}
    for spec in ordered:
        first = named.setdefault(spec.name, spec)
        if first.title != spec.title:  # several methods have it
            named[spec.name] = replace(first, title=spec.name.replace("_", " ").capitalize())
    return list(named.values())


def _default_steps(method: Method) -> list[StepSpec]:
    """None of a method that has required settings, or whose steps fail: it is reported where it is chosen."""
    from sbnet.steps.spec import check_steps

    try:
        specs = method.steps(method.Settings())
        check_steps(specs, method.name)
        return [replace(spec, key=f"{method.role}.{spec.key}".rstrip(".")) for spec in specs]
    except Exception:
        return []


def _verb(step: str) -> str:
    """`predict` outside a run is another verb."""
    return "predict-val" if step == "predict" else step.replace("_", "-")


def _step_verb(spec: StepSpec) -> Callable[..., None]:
    def verb(run: Path, /, *settings: Settings) -> None:
        _go(_run_folder(run), None, list(settings), only=spec.name)

    fields = type(spec.settings).model_fields
    example = next(
        (name for name in ("epochs", "scales", "steps") if name in fields), next(iter(fields), "KEY")
    )
    verb.__doc__ = f"""{spec.title}.

    Bring this step of a run, and every step that it needs, up to date.

    Parameters
    ----------
    run
        A run folder.
    settings
        KEY=VALUE pairs that replace the run's, such as {spec.key}.{example}=VALUE.
    """
    return verb


def _run_folder(path: Path) -> str:
    from sbnet.errors import SBNetError, check_folder

    if path.is_dir():
        check_folder(path)
    if not (path / "recipe.yaml").is_file():
        raise SBNetError(
            f"{path} is not a run folder (no recipe.yaml); start one: sbnet run quickstart --out "
            f"{shlex.quote(str(path))}"
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

    console = Console(width=None if sys.stdout.isatty() else 120)
    result = api.run(
        recipe, out, settings, start=_step(start), stop=_step(stop), only=_step(only), console=console
    )
    if result.metrics:
        from sbnet.report.tables import metrics_table

        console.print(metrics_table(result.metrics, result.measures))
    console.print(f"report: {result.report}", highlight=False, soft_wrap=True)


def _step(name: str | None) -> str | None:
    """Steps are typed as verbs (`train-cam`) or as folders (`train_cam`)."""
    return name.replace("-", "_") if name else name
