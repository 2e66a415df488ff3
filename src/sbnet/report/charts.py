"""Curves as inline SVG that follow the page's light or dark colors. Text stays text."""

from __future__ import annotations

import functools
import io
import itertools
import math
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sbnet.report.step_folder import Log

if TYPE_CHECKING:
    from sbnet.steps.spec import Measure

# Drawn in these colors, replaced by the page's CSS variables afterwards.
_INK, _GRID, _ACCENT, _SECOND = "#010203", "#010204", "#010205", "#010206"
_VARIABLES = {
    _INK: "var(--ink-soft)",
    _GRID: "var(--line)",
    _ACCENT: "var(--accent)",
    _SECOND: "var(--second)",
}
_STYLE: Any = {  # the type of its keys differs between matplotlib versions
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}
_MOST_POINTS = 300
_MOST_CHARTS = 16  # that are kept
Drawn = ParamSpec("Drawn")


def _kept(draw: Callable[Drawn, Markup]) -> Callable[Drawn, Markup]:
    """Draws no chart twice: a run writes its report after each step, where most of them are as before."""

    @functools.lru_cache(_MOST_CHARTS)
    def drawn(what: bytes) -> Markup:
        words, named = pickle.loads(what)  # bytes made below, from no file
        return draw(*words, **named)

    @functools.wraps(draw)
    def of(*words: Drawn.args, **named: Drawn.kwargs) -> Markup:
        return drawn(pickle.dumps((words, named)))

    return of


@dataclass(frozen=True)
class Curve:
    """mIoU over the background threshold: thresholds and miou (T,), NaN where unknown; so is at_setting None."""

    measure: Measure
    thresholds: NDArray[np.float64]
    miou: NDArray[np.float64]
    best: float
    best_miou: float
    setting: float
    at_setting: float | None

    @property
    def cost(self) -> float | None:
        """What the setting loses against the best threshold, as a fraction of mIoU."""
        return None if self.at_setting is None else self.best_miou - self.at_setting


def threshold_curve(measure: Measure, facts: Mapping[str, Any]) -> Curve | None:
    """The curve in the metrics of score maps; None where no pixel has ground truth."""
    thresholds, miou = (np.array(facts[key], np.float64) for key in ("thresholds", "curve"))
    if np.isnan(miou).all():
        return None
    best = np.nanargmax(miou)
    return Curve(
        measure,
        thresholds,
        miou,
        best=float(thresholds[best]),
        best_miou=float(miou[best]),
        setting=facts["setting"],
        at_setting=facts["miou_at_setting"],
    )


@_kept
def threshold_chart(curves: Sequence[Curve]) -> Markup:
    """mIoU (percent) over the threshold; a dot at the best one, a ring at the recipe's setting."""
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(1, 1, width=6.8, height=3.2, left=0.55, bottom=0.5)
        axes = panels[0]
        styles = itertools.cycle(itertools.product(("-", "--", ":"), (_ACCENT, _SECOND)))
        for curve, (line, color) in zip(curves, styles, strict=False):
            best = (curve.best, 100 * curve.best_miou)
            axes.plot(
                curve.thresholds, 100 * curve.miou, line, color=color, linewidth=2, label=curve.measure.title
            )
            axes.plot(*best, "o", color=color, markersize=7, label=f"best: {best[1]:.1f} at {best[0]:.2f}")
            if curve.at_setting is not None:
                label = f"setting: {100 * curve.at_setting:.1f} at {curve.setting:.2f}"
                axes.plot(curve.setting, 100 * curve.at_setting, "o", markersize=9, markerfacecolor="none",
                          markeredgecolor=color, markeredgewidth=1.8, label=label)  # fmt: skip
        axes.set_xlabel("background threshold")
        axes.set_ylabel("mIoU, %")
        axes.margins(x=0.01, y=0.08)
        axes.legend(loc="lower center", ncols=min(len(curves), 3))
        return _svg(figure, "threshold")


@_kept
def loss_chart(log: Log, *, name: str) -> Markup:
    """A panel for each loss term over the steps: the values pale, their moving average in full color."""
    terms = {term: values for term, values in log.terms.items() if np.isfinite(values).any()}
    rows = max(1, math.ceil(len(terms) / 5))
    columns = max(1, math.ceil(len(terms) / rows))
    with mpl.rc_context(_STYLE | {"font.size": 9, "axes.titlesize": 9.5}):
        figure, panels = _panels(rows, columns, width=3.1, height=1.75, left=0.5, bottom=0.28)
        for axes, (term, values) in zip(panels, terms.items(), strict=False):
            step, raw, average = smooth(log.step, values)
            axes.plot(step, raw, color=_ACCENT, linewidth=0.8, alpha=0.3)
            axes.plot(step, average, color=_ACCENT, linewidth=1.8)
            axes.set_title(f"{term.replace('_', ' ')}: {average[-1]:.3g}")
            axes.locator_params(nbins=4)
            axes.margins(x=0.01)
        for axes in panels[len(terms) :]:
            axes.remove()
        return _svg(figure, name)


def _panels(
    rows: int, columns: int, *, width: float, height: float, left: float, bottom: float
) -> tuple[Figure, list[Axes]]:
    """A figure of rows x columns axes, `width` x `height` inches each with its margins.

    Margins are fixed: matplotlib's layout engines take longer than all the drawing.
    """
    figure = Figure(figsize=(columns * width, rows * height))
    panels = []
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        box = (column + left / width, rows - 1 - row + bottom / height, 1 - (left + 0.15) / width,
               1 - (bottom + 0.28) / height)  # fmt: skip
        panels.append(figure.add_axes((box[0] / columns, box[1] / rows, box[2] / columns, box[3] / rows)))
    return figure, panels


def smooth(
    step: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(N,), (N,) -> step, value and moving average, each (M,) with M <= 300: means over bins of equal length.

    The average covers a twentieth of the curve around each point, less at its ends.
    """
    finite = np.isfinite(values)
    step, values = step[finite], values[finite]
    bins = np.array_split(np.arange(len(step)), min(_MOST_POINTS, len(step)))
    step = np.array([step[part].mean() for part in bins])
    raw = np.array([values[part].mean() for part in bins])
    reach = max(1, len(raw) // 40)
    total = np.concatenate([[0.0], np.cumsum(raw)])
    index = np.arange(len(raw))
    first, last = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(raw))
    return step, raw, (total[last] - total[first]) / (last - first)


def _svg(figure: Figure, name: str) -> Markup:
    """The figure as an <svg> element; its ids start with `name`, so that several fit on one page."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    for drawn, variable in _VARIABLES.items():
        svg = svg.replace(drawn, variable)
    return Markup(svg)  # made here from numbers; titles were escaped by matplotlib's XML writer
