"""A sweep as a picture: for each key, the mIoU at each of its values with the best values of the others."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from sbnet.data.io.files import write_bytes

Facts = tuple[Mapping[str, Any], float | None, float | None]  # values, mIoU chosen on, mIoU held out
_STYLE: Any = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_LONGEST = 4  # panels in a row


def write_sweep_chart(
    path: Path, keys: Sequence[str], trials: Sequence[Facts], *, own: Mapping[str, Any]
) -> None:
    """A PNG with a panel a key, in percent: filled dots for the images that the choice is made on, rings for those held
    out; a line marks the run's own value. Raises SBNetError where it cannot be written.
    """
    columns = min(len(keys), _LONGEST)
    rows = -(-len(keys) // columns)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(3.6 * columns, 2.9 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, key in zip(panels, keys, strict=False):
            values, chosen, held_out = _profile(key, trials)
            axes.plot(values, chosen, "o-", color="#1f6fb2", label="chosen on")
            axes.plot(values, held_out, "o--", color="#c25b12", markerfacecolor="none", label="held out")
            axes.axvline(values.index(_label(own[key])), color="0.6", linewidth=1, zorder=0)
            axes.set_xlabel(key)
        for axes in panels[len(keys) :]:
            axes.remove()
        panels[0].set_ylabel("mIoU, %")
        panels[0].legend(frameon=False)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=110)
    write_bytes(path, stream.getvalue())


def _profile(key: str, trials: Sequence[Facts]) -> tuple[list[str], list[float], list[float]]:
    """Values of a key, ascending, and both figures (percent) of the best trial that has each."""
    best: dict[Any, tuple[float, float]] = {}
    for values, chosen, held_out in trials:
        found = tuple(value) if isinstance(value := values[key], list) else value
        figures = tuple(float("nan") if miou is None else 100 * miou for miou in (chosen, held_out))
        if found not in best or figures[0] > best[found][0]:
            best[found] = (figures[0], figures[1])
    ordered = sorted(best)
    return [_label(value) for value in ordered], [best[v][0] for v in ordered], [best[v][1] for v in ordered]


def _label(value: Any) -> str:
    return ", ".join(f"{part:g}" for part in value) if isinstance(value, (list, tuple)) else f"{value:g}"
