"""What a run folder holds at this moment. Nothing here raises over a broken file: it is noted instead."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sbnet.report.tables import number

if TYPE_CHECKING:
    from sbnet.steps.spec import StepSpec


@dataclass(frozen=True)
class Log:
    """A training step's log.csv. step (N,) ascending; terms: column -> (N,), the total `loss` first.
    rate: images a second, the median.
    """

    step: NDArray[np.float64]
    terms: dict[str, NDArray[np.float64]]
    epoch: float | None
    rate: float | None


@dataclass(frozen=True)
class Step:
    """seconds is None until the step is done; `outputs` counts the images done so far (0 for training steps)."""

    name: str
    title: str
    done: bool
    seconds: float | None
    device: str
    outputs: int
    log: Log | None


@dataclass(frozen=True)
class RunFolder:
    """notes: a line for each file that could not be read."""

    path: Path
    recipe: dict[str, Any]
    recipe_text: str
    metrics: dict[str, Any]
    steps: list[Step]
    notes: list[str] = field(default_factory=list)


def read_run(run: Path, steps: Sequence[StepSpec]) -> RunFolder:
    """Everything in the run folder but the pictures, of the steps begun. Missing files count as not made yet."""
    notes: list[str] = []
    metrics = _read_json(run / "metrics.json", notes)
    recipe_text = _read_text(run / "recipe.yaml", notes)
    try:
        recipe = yaml.safe_load(recipe_text) or {}
    except yaml.YAMLError as error:
        notes.append(f"recipe.yaml cannot be read: {error}")
        recipe = {}
    begun = [_read_step(run / spec.name, spec, notes) for spec in steps if (run / spec.name).is_dir()]
    return RunFolder(run, recipe if isinstance(recipe, dict) else {}, recipe_text, metrics, begun, notes)


def _read_step(folder: Path, spec: StepSpec, notes: list[str]) -> Step:
    done = _read_json(folder / "done.json", notes)
    return Step(
        name=spec.name,
        title=spec.title,
        done=bool(done),
        seconds=number(done.get("seconds")),
        device=str(done.get("device", "")),
        outputs=max((_count(folder / kind.place) for kind in spec.writes if kind.suffix), default=0),
        log=_read_log(folder / "log.csv", notes),
    )


def _count(folder: Path) -> int:
    try:
        return sum(not entry.name.startswith(".") for entry in os.scandir(folder))
    except OSError:
        return 0


def _read_text(path: Path, notes: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        notes.append(f"{path.parent.name}/{path.name} cannot be read: {error}")
        return ""


def _read_json(path: Path, notes: list[str]) -> dict[str, Any]:
    text = _read_text(path, notes)
    try:
        content = json.loads(text) if text else {}
    except ValueError as error:
        notes.append(f"{path.parent.name}/{path.name} cannot be read: {error}")
        return {}
    return content if isinstance(content, dict) else {}


def _read_log(path: Path, notes: list[str]) -> Log | None:
    """Rows that are cut off (the last one of a running step) or not numbers are left out."""
    try:
        header, *body = list(csv.reader(_read_text(path, notes).splitlines())) or [[]]
    except csv.Error as error:
        notes.append(f"{path.parent.name}/{path.name} cannot be read: {error}")
        return None
    rows = {}
    for cells in body:
        try:
            values = [float(cell) if cell else float("nan") for cell in cells]
        except ValueError:
            continue
        if len(values) == len(header) and "step" in header:
            rows[values[header.index("step")]] = values  # should a step be there twice, the last counts
    if not rows:
        return None
    table = np.array([rows[step] for step in sorted(rows)])
    columns = {name: table[:, index] for index, name in enumerate(header)}
    rate = next((values for name, values in columns.items() if name.endswith("_per_second")), None)
    return Log(
        step=columns["step"],
        terms={name: columns[name] for name in header[header.index("loss") :]} if "loss" in header else {},
        epoch=number(columns["epoch"][-1].item()) if "epoch" in columns else None,
        rate=None if rate is None else number(np.median(rate).item()),
    )
