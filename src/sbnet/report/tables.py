"""The metrics of a run as rows: for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

TITLES = {
    "bootstrap_cam": "Bootstrap CAM",
    "bootstrap_refine": "Bootstrap CAM + CRF",
    "cam": "CAM",
    "refine": "CAM + CRF",
    "random_walk": "Random walk",
    "segmenter": "Segmenter",
    "segmenter_crf": "Segmenter + CRF",
}
"""Stage name in metrics.json -> what a reader calls it, in the order of the chain."""

# What each stage starts from, nearest first: the stage that its gain is counted from.
BEFORE = {
    "bootstrap_refine": ("bootstrap_cam",),
    "cam": ("bootstrap_cam",),
    "refine": ("cam",),
    "random_walk": ("refine", "cam"),
    "segmenter": ("random_walk", "refine", "cam"),
    "segmenter_crf": ("segmenter",),
}


@dataclass(frozen=True)
class MetricRow:
    """One stage's figures, fractions in [0, 1]; None where they were not measured.

    gain: mIoU above the stage titled `over`; both None where no stage before it was measured on its photos.
    """

    stage: str
    title: str
    photo_list: str
    photos: int | None
    miou: float | None
    gain: float | None
    over: str | None
    pixel_accuracy: float | None
    foreground_precision: float | None
    foreground_recall: float | None
    per_class: dict[str, float | None]


def number(value: object) -> float | None:
    """`value` as a finite float, or None for anything else: metrics.json may be edited or half filled."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def percent(value: float | None) -> str:
    """`0.4832` -> `"48.3"`; an en dash for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """A gain in percentage points, with its sign: `"+3.1"`, `"−0.4"`; empty for None."""
    return "" if value is None else f"{100 * value:+.1f}".replace("-", "−")


def metric_rows(metrics: Mapping[str, Any]) -> list[MetricRow]:
    """`metrics` (the content of metrics.json) as rows in the order of the chain, unknown stages last."""
    measured = {
        key: facts for key, facts in metrics.items() if isinstance(facts, Mapping) and "miou" in facts
    }
    order = [*TITLES, *(stage for stage in measured if stage not in TITLES)]
    return [_row(stage, measured) for stage in order if stage in measured]


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """The mIoU after every stage, for the terminal (percent; gains in percentage points)."""
    caption = "percent; gain in points over the stage named, on the same photos"
    table = Table(caption=caption, caption_justify="left")
    table.add_column("stage")
    for name in ("measured on", "mIoU", "gain", "pixel accuracy", "precision", "recall"):
        table.add_column(name, justify="right")
    for row in metric_rows(metrics):
        over = f"{points(row.gain)} ({row.over})" if row.over else ""
        measured_on = row.photo_list if row.photos is None else f"{row.photo_list}, {row.photos} photos"
        rates = (row.pixel_accuracy, row.foreground_precision, row.foreground_recall)
        table.add_row(row.title, measured_on, percent(row.miou), over, *map(percent, rates))
    return table


def _row(stage: str, measured: Mapping[str, Mapping[str, Any]]) -> MetricRow:
    facts = measured[stage]
    before = next((name for name in BEFORE.get(stage, ()) if _comparable(measured.get(name), facts)), None)
    # of the figures as shown, so that the column adds up
    gain = None if before is None else round(facts["miou"], 3) - round(measured[before]["miou"], 3)
    photos = number(facts.get("photos"))
    per_class = facts.get("per_class")
    per_class = per_class if isinstance(per_class, Mapping) else {}
    return MetricRow(
        stage=stage,
        title=TITLES.get(stage, stage),
        photo_list=str(facts.get("list", "")),
        photos=None if photos is None else int(photos),
        miou=number(facts["miou"]),
        gain=gain,
        over=None if before is None else TITLES[before],
        pixel_accuracy=number(facts.get("pixel_accuracy")),
        foreground_precision=number(facts.get("foreground_precision")),
        foreground_recall=number(facts.get("foreground_recall")),
        per_class={str(name): number(value) for name, value in per_class.items()},
    )


def _comparable(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    if before is None or number(before["miou"]) is None or number(after["miou"]) is None:
        return False
    return all(before.get(key) == after.get(key) for key in ("list", "photos"))
