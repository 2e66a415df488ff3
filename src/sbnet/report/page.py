"""One self-contained HTML page of a run, from whatever the run folder holds so far."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from sbnet.data.datasets.collection import Collection
from sbnet.data.io.files import write_bytes
from sbnet.report import charts, rows, tables
from sbnet.report.pictures import COLORS
from sbnet.report.step_folder import Log, Step, read_step

if TYPE_CHECKING:
    from sbnet.steps.spec import Picture, StepSpec

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
    title: str,
    about: str,
    recipe: str,
    metrics: Mapping[str, Any],
    train: Collection,
    val: Collection | None,
    steps: Sequence[StepSpec],
    inputs: Mapping[str, Mapping[str, Path]],
) -> Path:
    """Writes FOLDER/report.html and returns its path; the page needs no other file and no network.

    Shows what there is: a step not started is left out, an image not done is a dash, a broken file is named where its
    picture would be. about, recipe: the recipe's evidence and text. metrics: the content of metrics.json. steps: the
    run's, in order. inputs: step name -> name under which it reads an artifact -> where that is.
    Raises `SBNetError` where the page itself cannot be written.
    """
    measures = [measure for step in steps for measure in step.measures]
    measured = tables.metric_rows(metrics, measures)
    scores = [row for row in measured if row.measure.swept]
    curves = [curve for row in scores if (curve := charts.threshold_curve(row.measure, row.facts))]
    best = {curve.measure.name: curve.best for curve in curves}
    begun = [read_step(folder / step.name, step) for step in steps if (folder / step.name).is_dir()]
    seconds = sum(step.seconds or 0 for step in begun)
    columns = functools.partial(rows.columns, folder, steps, inputs, thresholds=best)
    page = _environment().get_template("report.html.j2").render(
        title=title,
        about=about,
        facts=_facts(begun, seconds, train, val),
        truth=any(image.mask for image in (*train, *(val or ()))),
        folder=folder,
        recipe=recipe,
        steps=begun,
        seconds=seconds,
        rows=measured,
        curves=curves,
        curve_svg=charts.threshold_chart(curves) if curves else "",
        losses=[_loss_panel(step.title, step.name, step.log) for step in begun if step.log],
        per_class=_per_class(measured, train.classes),
        galleries=_galleries(columns, train, val),
        classes=train.classes,
        terms=TERMS,
        written=time.strftime("%Y-%m-%d %H:%M"),
    )  # fmt: skip
    path = folder / "report.html"
    write_bytes(path, page.encode())
    return path


def _galleries(
    columns: Callable[..., list[Picture]], train: Collection, val: Collection | None
) -> list[rows.Gallery]:
    caption = "and its image-level labels"
    made = [rows.gallery("Training images", train, columns(images="train"), caption=caption)]
    if val is not None and (of_val := columns(images="val")):
        made.append(rows.gallery("Validation images", val, of_val, caption="not trained on"))
    return [gallery for gallery in made if gallery.rows]


def _facts(
    begun: Sequence[Step], seconds: float, train: Collection, val: Collection | None
) -> list[tuple[str, str]]:
    """Name and value of what stands under the title."""
    devices = dict.fromkeys(step.device for step in begun if step.device)
    facts = [
        ("training images", f"{len(train):,}"),
        ("validation images", f"{len(val):,}" if val is not None else "none"),
        ("classes without background", str(len(train.classes) - 1)),
        ("device", ", ".join(devices)),
        ("time so far", tables.duration(seconds)),
    ]
    return [(name, value) for name, value in facts if value]


def _loss_panel(title: str, name: str, log: Log) -> LossPanel:
    facts = f"step {log.step[-1]:,.0f}, epoch {log.epoch:.0f}, {log.rate:.1f} images per second"
    return LossPanel(title, facts, charts.loss_chart(log, name=name))


def _per_class(
    measured: Sequence[tables.MetricRow], classes: Sequence[str]
) -> list[tuple[int, str, list[float | None]]]:
    """Class id, name and its IoU in each row, for the classes that some row has a figure for."""
    table = [
        (index, name, [row.facts["per_class"][name] for row in measured])
        for index, name in enumerate(classes)
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
