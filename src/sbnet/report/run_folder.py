"""What a run folder holds at this moment. Nothing here raises over a broken file: it is noted instead."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sbnet.report.tables import number

STEPS = {
    "bootstrap_train_cam": "Train the bootstrap CAM network",
    "bootstrap_infer_cam": "Bootstrap CAMs",
    "bootstrap_refine": "CRF over bootstrap CAMs",
    "train_cam": "Train the CAM network",
    "infer_cam": "CAMs",
    "refine": "CRF over CAMs",
    "train_affinity": "Train AffinityNet or IRN",
    "random_walk": "Random walk: pseudo masks",
    "train_segmenter": "Train the segmenter",
    "predict": "Predict",
}
"""Step folder -> title, in the order of a run."""

_OUTPUTS = ("scores", "labels", "masks")
_LOG_BOOKKEEPING = ("step", "epoch", "lr", "photos_per_second")


@dataclass(frozen=True)
class Log:
    """A training step's log.csv. step (N,) ascending; terms: column -> (N,), the total `loss` first."""

    step: NDArray[np.float64]
    terms: dict[str, NDArray[np.float64]]
    epoch: float | None
    photos_per_second: float | None


@dataclass(frozen=True)
class Step:
    """seconds is None until the step is done; `outputs` counts the files made so far (0 for training steps).
    settings: the step's own, as it runs them.
    """

    name: str
    title: str
    done: bool
    seconds: float | None
    device: str
    settings: dict[str, Any]
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


def read_run(run: Path) -> RunFolder:
    """Everything in the run folder but the pictures. Missing files count as not made yet."""
    notes: list[str] = []
    metrics = _read_json(run / "metrics.json", notes)
    recipe_text = _read_text(run / "recipe.yaml", notes)
    try:
        recipe = yaml.safe_load(recipe_text) or {}
    except yaml.YAMLError as error:
        notes.append(f"recipe.yaml cannot be read: {error}")
        recipe = {}
    steps = [_read_step(run / name, title, notes) for name, title in STEPS.items() if (run / name).is_dir()]
    return RunFolder(run, recipe if isinstance(recipe, dict) else {}, recipe_text, metrics, steps, notes)


def _read_step(folder: Path, title: str, notes: list[str]) -> Step:
    done = _read_json(folder / "done.json", notes)
    settings = _read_json(folder / "state.json", notes).get("settings")
    return Step(
        name=folder.name,
        title=title,
        done=bool(done),
        seconds=number(done.get("seconds")),
        device=str(done.get("device", "")),
        settings=settings if isinstance(settings, dict) else {},
        outputs=max(_count(folder / name) for name in _OUTPUTS),
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
    rate = columns.get("photos_per_second")
    return Log(
        step=columns["step"],
        terms={name: values for name, values in columns.items() if name not in _LOG_BOOKKEEPING},
        epoch=number(columns["epoch"][-1].item()) if "epoch" in columns else None,
        photos_per_second=None if rate is None else number(np.median(rate).item()),
    )
