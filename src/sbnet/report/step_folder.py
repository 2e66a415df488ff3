"""How far a step is, from its folder."""

from __future__ import annotations

import csv
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbnet.data.io.files import stored_json

if TYPE_CHECKING:
    from sbnet.steps.spec import StepSpec


@dataclass(frozen=True)
class Log:
    """A training step's log.csv. step (N,) ascending; terms: column -> (N,), the total `loss` first.
    rate: images a second, the median.
    """

    step: NDArray[np.float64]
    terms: dict[str, NDArray[np.float64]]
    epoch: float
    rate: float


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


def read_step(folder: Path, spec: StepSpec) -> Step:
    done = stored_json(folder / "done.json")
    return Step(
        name=spec.name,
        title=spec.title,
        done=bool(done),
        seconds=done.get("seconds"),
        device=done.get("device", ""),
        outputs=max((_count(folder / kind.place) for kind in spec.writes if kind.suffix), default=0),
        log=_read_log(folder / "log.csv"),
    )


def _count(folder: Path) -> int:
    return sum(not path.name.startswith(".") for path in folder.iterdir()) if folder.is_dir() else 0


def _read_log(path: Path) -> Log | None:
    """None where it has no row. A row that is cut off, the last one of a killed step, is left out."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    header, *body = csv.reader(text.splitlines() or [""])
    rows = []
    for cells in body:
        with suppress(ValueError):
            if len(cells) == len(header):
                rows.append([float(cell or "nan") for cell in cells])
    if not rows:
        return None
    columns = dict(zip(header, np.array(rows).T, strict=True))
    return Log(
        step=columns["step"],
        terms={name: columns[name] for name in header[header.index("loss") :]},
        epoch=columns["epoch"][-1].item(),
        rate=np.median(columns["images_per_second"]).item(),
    )
