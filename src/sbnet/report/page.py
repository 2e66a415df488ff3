"""One self-contained HTML page of a run, from whatever the run folder holds so far."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from sbnet.data.datasets.collection import Collection
from sbnet.data.io.files import write_bytes
from sbnet.report import charts, rows, tables
from sbnet.report.pictures import COLORS
from sbnet.report.run_folder import RunFolder, Step, read_run
from sbnet.report.shown import SHOWN

if TYPE_CHECKING:
    from sbnet.steps.spec import StepSpec

TERMS = {
    "Image-level labels": "which classes an image shows, but not where: the input of training.",
    "Class activation map (CAM)": "a score in [0, 1] for each pixel and class: how strongly the network sees the class "
    "there.",
    "Background threshold": "the score below which a pixel counts as background when a CAM is turned into a mask.",
    "Seeds (partial labels)": "labels of the pixels that are certain; the others are unknown, and striped in pictures.",
    "CRF": "conditional random field: moves the borders of regions to edges in the image.",
    "Propagation": "spreads CAM scores from pixel to similar pixel, up to the borders of objects.",
    "Pseudo mask": "a class for each pixel of a training image, made without ground truth, to train the segmenter.",
    "Segmenter": "the network that a run produces: it predicts masks for any image.",
    "Ground truth": "masks that are known to be correct, usually drawn by hand.",
    "IoU": "intersection over union: the pixels of a class in both mask and ground truth, divided by those in either.",
    "mIoU": "mean IoU of all classes, background included, over all images together.",
    "Foreground mIoU": "the same mean without background, whose IoU is high even if every object is missed.",
    "Precision, recall": "of foreground against background, whatever the class: the share of the predicted "
    "foreground that is right, and the share of the true foreground that is found.",
    "Pixel accuracy": "the share of pixels with the right class; mostly background, so high even for poor masks.",
}
"""What a reader who is new to the field needs: term -> a line."""


@dataclass(frozen=True)
class LossPanel:
    title: str
    facts: str
    svg: Markup


def write_report(
    folder: Path,
    *,
    train: Collection,
    val: Collection | None,
    steps: Sequence[StepSpec],
    inputs: Mapping[str, Mapping[str, str]],
    title: str | None = None,
    images: int = SHOWN,
) -> Path:
    """Writes FOLDER/report.html and returns its path; the page needs no other file and no network.

    Shows what there is: a step not started is left out, an image not done is a dash, a broken file is named where its
    picture would be. steps: the run's, in order. inputs: step name -> name under which it reads an artifact -> where
    that is, from the run folder on. images: rows of each split. title: the page's; by default the recipe's name.
    Raises `SBNetError` only where the page itself cannot be written.
    """
    run = read_run(Path(folder), steps)
    measures = [measure for step in steps for measure in step.measures]
    measured = tables.metric_rows(run.metrics, measures)
    curves = [
        curve
        for measure in measures
        if tables.is_scores(measure)
        if (curve := charts.threshold_curve(measure, run.metrics.get(measure.name)))
    ]
    page = _environment().get_template("report.html.j2").render(
        title=title or f"SBNet: {run.recipe.get('name') or run.path.resolve().name}",
        about=str(run.recipe.get("about") or ""),
        facts=_facts(run, train, val),
        notes=run.notes,
        truth=any(image.mask for image in (*train, *(val or ()))),
        folder=run.path,
        recipe_text=run.recipe_text,
        steps=run.steps,
        seconds=sum(step.seconds or 0 for step in run.steps),
        rows=measured,
        absent=_absent(run.metrics),
        curves=curves,
        curve_svg=charts.threshold_chart(curves) if curves else "",
        losses=[_loss_panel(step) for step in run.steps if step.log],
        per_class=_per_class(measured, train.classes),
        galleries=_galleries(run, steps, inputs, train, val, images, {one.measure: one.best for one in curves}),
        classes=train.classes,
        terms=TERMS,
        written=time.strftime("%Y-%m-%d %H:%M"),
    )  # fmt: skip
    path = run.path / "report.html"
    write_bytes(path, page.encode())
    return path


def _galleries(
    run: RunFolder,
    steps: Sequence[StepSpec],
    inputs: Mapping[str, Mapping[str, str]],
    train: Collection,
    val: Collection | None,
    count: int,
    thresholds: Mapping[str, float],
) -> list[rows.Gallery]:
    columns = functools.partial(rows.columns, run.path, steps, inputs, thresholds=thresholds)
    made = [
        rows.gallery(
            "Training images",
            train,
            columns(images="train"),
            count=count,
            caption="and its image-level labels",
        )
    ]
    if val is not None and rows.begun(columns(images="val")):
        made.append(
            rows.gallery(
                "Validation images", val, columns(images="val"), count=count, caption="not trained on"
            )
        )
    return [gallery for gallery in made if gallery.rows]


def _absent(metrics: Mapping[str, Any]) -> str:
    """How a class in neither prediction nor ground truth was counted, where all measures agree on it."""
    ways = {str(facts.get("absent", "")) for facts in metrics.values() if isinstance(facts, Mapping)}
    return ways.pop() if len(ways) == 1 else ""


def _facts(run: RunFolder, train: Collection, val: Collection | None) -> list[tuple[str, str]]:
    """Name and value of what stands under the title."""
    devices = dict.fromkeys(step.device for step in run.steps if step.device)
    facts = [
        ("training images", f"{len(train):,}"),
        ("validation images", f"{len(val):,}" if val is not None else "none"),
        ("classes without background", str(len(train.classes) - 1)),
        ("device", ", ".join(devices)),
        ("time so far", tables.duration(sum(step.seconds or 0 for step in run.steps))),
    ]
    return [(name, value) for name, value in facts if value]


def _loss_panel(step: Step) -> LossPanel:
    assert step.log is not None
    facts = [f"step {step.log.step[-1]:,.0f}"]
    if step.log.epoch is not None:
        facts.append(f"epoch {step.log.epoch:.0f}")
    if step.log.rate is not None:
        facts.append(f"{step.log.rate:.1f} images per second")
    return LossPanel(step.title, ", ".join(facts), charts.loss_chart(step.log, name=step.name))


def _per_class(
    measured: Sequence[tables.MetricRow], classes: Sequence[str]
) -> list[tuple[int, str, list[float | None]]]:
    """Class id, name and its IoU in each row, for the classes that some row has a figure for."""
    table = [
        (index, name, [row.per_class.get(name) for row in measured]) for index, name in enumerate(classes)
    ]
    return [entry for entry in table if any(value is not None for value in entry[2])]


def _color(class_id: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*COLORS[class_id])


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sbnet", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        percent=tables.percent, points=tables.points, duration=tables.duration, color=_color
    )
    return environment
