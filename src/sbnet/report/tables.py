"""The metrics of a run as rows: for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from sbnet.errors import counted

if TYPE_CHECKING:
    from sbnet.steps.spec import Measure


@dataclass(frozen=True)
class MetricRow:
    """The figures of one measure, fractions in [0, 1]; None where they were not measured.

    gain: mIoU above the measure titled `over`; both None where none before it was measured on the same images.
    """

    name: str
    title: str
    split: str
    images: int | None
    miou: float | None
    foreground_miou: float | None
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


def duration(seconds: float | None) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 05 min`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def is_scores(measure: Measure) -> bool:
    """Score maps are swept over background thresholds; all else is compared as masks."""
    return measure.kind.name == "Scores"


def metric_rows(metrics: Mapping[str, Any], measures: Sequence[Measure]) -> list[MetricRow]:
    """`metrics` (the content of metrics.json) as rows in the order of `measures`, unknown names last."""
    facts = {name: value for name, value in metrics.items() if isinstance(value, Mapping) and "miou" in value}
    known = [measure for measure in measures if measure.name in facts]
    rows = [
        _row(facts[one.name], one.name, one.title, _before(index, known, facts))
        for index, one in enumerate(known)
    ]
    names = {measure.name for measure in known}
    return rows + [_row(value, name, name, None) for name, value in facts.items() if name not in names]


def metrics_table(metrics: Mapping[str, Any], measures: Sequence[Measure]) -> Table:
    """The mIoU after every step that is measured, for the terminal (percent; gains in percentage points)."""
    table = Table(
        caption="percent; gain in points over the row named, on the same images", caption_justify="left"
    )
    table.add_column("result")
    for name in ("measured on", "mIoU", "foreground\nmIoU", "gain", "precision", "recall", "pixel\naccuracy"):
        table.add_column(name, justify="right")
    for row in metric_rows(metrics, measures):
        over = f"{points(row.gain)} ({row.over})" if row.over else ""
        measured_on = row.split if row.images is None else f"{row.split}, {counted(row.images, 'image')}"
        rates = (row.foreground_precision, row.foreground_recall, row.pixel_accuracy)
        table.add_row(
            row.title,
            measured_on,
            percent(row.miou),
            percent(row.foreground_miou),
            over,
            *map(percent, rates),
        )
    return table


def _before(
    index: int, known: Sequence[Measure], facts: Mapping[str, Mapping[str, Any]]
) -> tuple[str, float] | None:
    """Title and mIoU of what the measure at `index` improves on: maps on maps, masks on whatever precedes."""
    after = known[index]
    for before in reversed(known[:index]):
        alike = all(facts[before.name].get(key) == facts[after.name].get(key) for key in ("list", "images"))
        miou = number(facts[before.name]["miou"])
        if alike and miou is not None and (is_scores(before) or not is_scores(after)):
            return before.title, miou
    return None


def _row(facts: Mapping[str, Any], name: str, title: str, before: tuple[str, float] | None) -> MetricRow:
    miou, images, per_class = number(facts["miou"]), number(facts.get("images")), facts.get("per_class")
    if miou is None:
        before = None
    return MetricRow(
        name=name,
        title=title,
        split=str(facts.get("list", "")),
        images=None if images is None else int(images),
        miou=miou,
        foreground_miou=number(facts.get("foreground_miou")),
        # of the figures as shown, so that the column adds up
        gain=round(miou, 3) - round(before[1], 3) if miou is not None and before else None,
        over=before[0] if before else None,
        pixel_accuracy=number(facts.get("pixel_accuracy")),
        foreground_precision=number(facts.get("foreground_precision")),
        foreground_recall=number(facts.get("foreground_recall")),
        per_class={str(key): number(value) for key, value in per_class.items()}
        if isinstance(per_class, Mapping)
        else {},
    )
