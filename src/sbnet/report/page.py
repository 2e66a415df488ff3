"""One self-contained HTML page of a run, from whatever the run folder holds so far."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from sbnet.data import IGNORE
from sbnet.data.datasets.collection import Collection
from sbnet.data.io.files import LABEL_FOLDERS, write_bytes
from sbnet.data.io.palette import PALETTE
from sbnet.report import charts, rows, tables
from sbnet.report.charts import Curve
from sbnet.report.run_folder import RunFolder, Step, read_run

_CAM_STAGES = ("cam", "bootstrap_cam")


@dataclass(frozen=True)
class LossPanel:
    title: str
    facts: str
    svg: Markup


def write_report(
    run: Path,
    *,
    train: Collection,
    val: Collection | None,
    title: str | None = None,
    photos: int = rows.SHOWN,
) -> Path:
    """Writes RUN/report.html and returns its path; the page needs no other file and no network.

    Shows what there is: a step not begun is left out, a photo not done is a dash, a broken file is named
    where its picture would be. photos: rows of each list. title: the page's; by default the recipe's name.
    Raises `SBNetError` only where the page itself cannot be written.
    """
    folder = read_run(Path(run))
    curves = [curve for stage in _CAM_STAGES if (curve := _curve(folder.metrics, stage))]
    page = _environment().get_template("report.html.j2").render(
        title=title or f"SBNet: {folder.recipe.get('name') or folder.path.resolve().name}",
        about=str(folder.recipe.get("about") or ""),
        facts=_facts(folder, train, val),
        notes=folder.notes,
        truth=any(photo.mask for photo in (*train, *(val or ()))),
        folder=folder.path,
        recipe_text=folder.recipe_text,
        steps=folder.steps,
        seconds=sum(step.seconds or 0 for step in folder.steps),
        rows=tables.metric_rows(folder.metrics),
        absent=_absent(folder.metrics),
        curves=curves,
        curve_svg=charts.threshold_chart(curves) if curves else "",
        losses=[_loss_panel(step) for step in folder.steps if step.log],
        per_class=_per_class(folder, train.classes),
        galleries=_galleries(folder, curves, train, val, photos),
        classes=train.classes,
        written=time.strftime("%Y-%m-%d %H:%M"),
    )  # fmt: skip
    path = folder.path / "report.html"
    write_bytes(path, page.encode())
    return path


def _galleries(
    folder: RunFolder, curves: list[Curve], train: Collection, val: Collection | None, count: int
) -> list[rows.Gallery]:
    settings = next((step.settings for step in folder.steps if step.name == "train_cam"), {})
    elsewhere = settings.get("boundaries")
    labels = LABEL_FOLDERS.get(str(settings.get("boundary_labels")), "labels")
    columns = rows.train_columns(
        boundary_labels=str(Path(elsewhere).resolve()) if elsewhere else f"bootstrap_refine/{labels}",
        boundary_maker="window" if settings.get("boundary_maker") == "window" else "change",
        boundary_width=max(1, int(tables.number(settings.get("boundary_width")) or 1)),
        thresholds={curve.stage: curve.best for curve in curves},
    )
    made = [rows.gallery(folder.path, "Training photos", train, columns, count=count)]
    if val is not None and (folder.path / "predict").is_dir():
        made.append(rows.gallery(folder.path, "Measuring photos", val, rows.val_columns(), count=count))
    return [gallery for gallery in made if gallery.rows]


def _curve(metrics: Mapping[str, Any], stage: str) -> Curve | None:
    facts = metrics.get(stage)
    return charts.threshold_curve(stage, facts) if isinstance(facts, Mapping) else None


def _absent(metrics: Mapping[str, Any]) -> str:
    """How a class in neither prediction nor ground truth was counted, where all stages agree on it."""
    ways = {str(facts.get("absent", "")) for facts in metrics.values() if isinstance(facts, Mapping)}
    return ways.pop() if len(ways) == 1 else ""


def _facts(folder: RunFolder, train: Collection, val: Collection | None) -> list[tuple[str, str]]:
    """Name and value of what stands under the title."""
    devices = dict.fromkeys(step.device for step in folder.steps if step.device)
    facts = [
        ("photos to train on", f"{len(train):,}"),
        ("photos to measure on", f"{len(val):,}" if val is not None else "none"),
        ("classes", str(len(train.classes) - 1)),
        ("device", ", ".join(devices)),
        ("time so far", duration(sum(step.seconds or 0 for step in folder.steps))),
    ]
    return [(name, value) for name, value in facts if value]


def _loss_panel(step: Step) -> LossPanel:
    assert step.log is not None
    facts = [f"step {step.log.step[-1]:,.0f}"]
    if step.log.epoch is not None:
        facts.append(f"epoch {step.log.epoch:.0f}")
    if step.log.photos_per_second is not None:
        facts.append(f"{step.log.photos_per_second:.1f} photos a second")
    return LossPanel(step.title, ", ".join(facts), charts.loss_chart(step.log, name=step.name))


def _per_class(folder: RunFolder, classes: tuple[str, ...]) -> list[tuple[int, str, list[float | None]]]:
    """Class id, name and its IoU after each stage, for the classes that some stage has a figure for."""
    measured = tables.metric_rows(folder.metrics)
    table = [
        (index, name, [row.per_class.get(name) for row in measured]) for index, name in enumerate(classes)
    ]
    return [entry for entry in table if any(value is not None for value in entry[2])]


def duration(seconds: float | None) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 05 min`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _color(class_id: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*PALETTE[class_id])


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sbnet", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(percent=tables.percent, points=tables.points, duration=duration, color=_color)
    environment.globals.update(ignore=IGNORE)
    return environment
