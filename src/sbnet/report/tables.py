"""The metrics of a run as rows: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from sbnet.errors import counted

if TYPE_CHECKING:
    from sbnet.steps.spec import Measure


@dataclass(frozen=True)
class MetricRow:
    """facts: the measure's entry in metrics.json. over: the row that it improves on; None where none before it was
    measured on the same images.
    """

    measure: Measure
    facts: Mapping[str, Any]
    over: MetricRow | None

    @property
    def gain(self) -> float | None:
        """In mIoU, of the figures as shown, so that the column adds up."""
        return None if self.over is None else round(self.facts["miou"], 3) - round(self.over.facts["miou"], 3)


def percent(value: float | None) -> str:
    """`0.4832` -> `"48.3"`; an en dash for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """A gain in percentage points, with its sign: `"+3.1"`, `"−0.4"`; empty for None."""
    return "" if value is None else f"{100 * value:+.1f}".replace("-", "−")


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def metric_rows(metrics: Mapping[str, Any], measures: Sequence[Measure]) -> list[MetricRow]:
    """A row for each of the measures that `metrics` has, in their order."""
    rows: list[MetricRow] = []
    for measure in measures:
        if measure.name in metrics:
            facts = metrics[measure.name]
            rows.append(MetricRow(measure, facts, _over(rows, measure, facts)))
    return rows


def _over(rows: Sequence[MetricRow], measure: Measure, facts: Mapping[str, Any]) -> MetricRow | None:
    """What the measure improves on: maps on maps, masks on whatever precedes."""
    for row in reversed(rows) if facts["miou"] is not None else ():
        alike = all(row.facts[key] == facts[key] for key in ("list", "images"))
        if alike and row.facts["miou"] is not None and (row.measure.swept or not measure.swept):
            return row
    return None


def metrics_table(metrics: Mapping[str, Any], measures: Sequence[Measure]) -> Table:
    """The mIoU after every step that is measured, for the terminal (percent; gains in percentage points)."""
    table = Table(
        caption="percent; gain in points over the row named, on the same images", caption_justify="left"
    )
    table.add_column("result")
    for name in ("measured on", "mIoU", "foreground\nmIoU", "gain", "precision", "recall", "pixel\naccuracy"):
        table.add_column(name, justify="right")
    for row in metric_rows(metrics, measures):
        facts = row.facts
        table.add_row(
            row.measure.title,
            f"{facts['list']}, {counted(facts['images'], 'image')}",
            percent(facts["miou"]),
            percent(facts["foreground_miou"]),
            f"{points(row.gain)} ({row.over.measure.title})" if row.over else "",
            percent(facts["foreground_precision"]),
            percent(facts["foreground_recall"]),
            percent(facts["pixel_accuracy"]),
        )
    return table
