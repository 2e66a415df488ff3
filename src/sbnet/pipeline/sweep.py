"""Settings of one step tried on what a run has stored: chosen on some of its images, measured on the others."""

from __future__ import annotations

import itertools
import shlex
import typing
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sbnet import metrics
from sbnet.config import source
from sbnet.config.recipe import Recipe, load_recipe
from sbnet.config.refusals import unknown_key
from sbnet.data.datasets.collection import Photo
from sbnet.data.datasets.labels import read_list
from sbnet.data.io.files import write_json
from sbnet.data.io.image import read_mask
from sbnet.engine.resources import gpu_memory_told, one_torch_thread
from sbnet.errors import SBNetError, did_you_mean
from sbnet.pipeline.data import RunData, open_data
from sbnet.pipeline.folder import open_folder
from sbnet.pipeline.graph import Step, recipe_steps
from sbnet.pipeline.measure import absent
from sbnet.pipeline.state import RunState
from sbnet.report.sweep_chart import write_sweep_chart
from sbnet.settings import plain
from sbnet.steps.context import Context
from sbnet.steps.spec import Kind, load_object
from sbnet.work.parallel import map_unordered
from sbnet.work.progress import photo_progress


@dataclass(frozen=True)
class Trial:
    """values: dotted key -> value. miou: on the images that the choice is made on; held_out: on the others. Fractions;
    None where no pixel is known.
    """

    values: dict[str, Any]
    miou: float | None
    held_out: float | None


@dataclass(frozen=True)
class SweepResult:
    """trials: the best first. recipe: the one with the run's own settings. chosen_on, reported_on: numbers of images.
    table, picture: the files written.
    """

    step: str
    trials: list[Trial]
    recipe: Trial
    chosen_on: int
    reported_on: int
    table: Path
    picture: Path

    @property
    def best(self) -> Trial:
        return self.trials[0]

    def shown(self, count: int) -> list[Trial]:
        """The first `count` trials, and the recipe's where it is not among them."""
        return [trial for rank, trial in enumerate(self.trials) if rank < count or trial is self.recipe]


def sweep(
    run: str | Path,
    assignments: Sequence[str],
    *,
    images: int = 0,
    choose_on: str | Path | None = None,
    out: str | Path | None = None,
) -> SweepResult:
    """Measure every combination of values of one step's settings on the stored output of the steps before it.

    assignments: `KEY=VALUE,VALUE`; for a key whose value is itself a list, such as `crf.bilateral`, one assignment a
    value. All keys are of one step that trains nothing. The run's own settings are always tried too.
    images: at most so many of the training images with ground truth, 0 for all. choose_on: a list of names, those
    without ground truth left out; by default every other image, in an order that depends on names alone.
    out: where `sweep.json` and `sweep.png` go, by default RUN/sweeps/STEP.
    Raises SBNetError for keys of other steps or without effect on the masks, values out of range, steps that are not
    done, names of `choose_on` that are no training image, too little ground truth.
    """
    folder = Path(run)
    recipe = load_recipe(folder)
    steps = recipe_steps(recipe)
    step, values = _values(folder, recipe, steps, assignments)
    own = {key: _value(recipe, key) for key in values}
    combinations = [dict(zip(values, one, strict=True)) for one in itertools.product(*values.values())]
    tried = [own, *(one for one in combinations if one != own)]
    settings = [load_recipe(folder, one).with_quirks().section(step.spec.key) for one in tried]
    with open_folder(folder, recipe):
        state = RunState(folder, steps, recipe, open_data(recipe, folder, steps))
        chosen, others = _split(state.data, images, choose_on)
        _check_inputs(state, step)
        scores = _measure(step, settings, state.context(step), (chosen, others), absent=absent(state))
    trials = [Trial(*facts) for facts in zip(tried, *scores, strict=True)]
    ranked = sorted(trials, key=lambda trial: -1.0 if trial.miou is None else trial.miou, reverse=True)
    place = Path(out) if out is not None else folder / "sweeps" / step.name
    table, picture = place / "sweep.json", place / "sweep.png"
    facts = {
        "step": step.name,
        "images": {"chosen on": len(chosen), "reported on": len(others)},
        "recipe": vars(trials[0]),
        "trials": [vars(trial) for trial in ranked],
    }
    write_json(table, facts)
    write_sweep_chart(picture, list(values), [(t.values, t.miou, t.held_out) for t in trials], own=own)
    return SweepResult(step.name, ranked, trials[0], len(chosen), len(others), table, picture)


def _values(
    folder: Path, recipe: Recipe, steps: Sequence[Step], assignments: Sequence[str]
) -> tuple[Step, dict[str, list[Any]]]:
    """The step, and dotted key -> the values to try, as a recipe's file has them, each once."""
    can = {step.spec.key: step for step in steps if step.spec.variants}
    if not can:
        raise SBNetError(
            f"{folder}: no step of this run can be swept; its masks were made elsewhere or by training"
        )
    example = f"{_example(next(iter(can.values())))}=1,2"
    if not assignments:
        raise SBNetError(f"nothing to try; give KEY=VALUE,VALUE, for example {example}")
    values: dict[str, list[Any]] = {}
    chosen: list[Step] = []
    for assignment in assignments:
        key, text = source.split(assignment)
        section, _, name = key.rpartition(".")
        if section not in can:
            raise SBNetError(
                f"'{assignment}': only settings of {' and '.join(can)} can be tried without training again, for "
                f"example {example}{did_you_mean(section, can)}"
            )
        chosen.append(can[section])
        if chosen[-1] is not chosen[0]:
            raise SBNetError(
                f"'{assignment}': one step at a time; {chosen[0].spec.key} is being swept already"
            )
        kinds = type(chosen[0].spec.settings).model_fields
        if name not in kinds:
            raise SBNetError(f"'{assignment}': {unknown_key(key, kinds, {})}")
        _check_measured(assignment, name, chosen[0])
        whole = typing.get_origin(kinds[name].annotation) is tuple
        for one in [text] if whole else [part.strip() for part in text.split(",")]:
            typed = _value(load_recipe(folder, [f"{key}={one}"]), key)
            if typed not in values.setdefault(key, []):
                values[key].append(typed)
    return chosen[0], values


def _unmeasured(step: Step) -> dict[str, Kind]:
    """Settings that change only outputs that are not measured, and which."""
    measured = {measure.kind for measure in step.spec.measures}
    return {name: kind for kind, names in step.spec.only.items() if kind not in measured for name in names}


def _example(step: Step) -> str:
    """The dotted key of a setting that can be tried."""
    names = (name for name in type(step.spec.settings).model_fields if name not in _unmeasured(step))
    return f"{step.spec.key}.{next(names)}"


def _check_measured(assignment: str, name: str, step: Step) -> None:
    """Of a key without effect all values would tie, and the first be called the best."""
    if (kind := _unmeasured(step).get(name)) is not None:
        measured = " and ".join({measure.place: None for measure in step.spec.measures})
        raise SBNetError(
            f"'{assignment}': it changes only the {kind.place}, and the {measured} are measured; try {_example(step)}"
        )


def _value(recipe: Recipe, key: str) -> Any:
    section, _, name = key.rpartition(".")
    return plain(getattr(recipe.section(section), name))


def _check_inputs(state: RunState, step: Step) -> None:
    for needed in step.needs():
        if missing := state.status(state.step(needed)).missing:
            raise SBNetError(
                f"{state.folder}: '{step.name}' is tried on the output of '{needed}', which is {missing}; bring it up to "
                f"date first: sbnet run {shlex.quote(str(state.folder))} --to {needed}"
            )


def _split(data: RunData, images: int, choose_on: str | Path | None) -> tuple[list[Photo], list[Photo]]:
    """The images with ground truth that the choice is made on, and those that it is reported on."""
    # A checksum of the name shuffles alike on every machine; in name order one source would come first.
    known = sorted(
        (photo for photo in data.train if photo.mask), key=lambda p: (zlib.crc32(p.name.encode()), p.name)
    )
    if choose_on is None:
        known = known[: images or None]
        chosen, others = known[0::2], known[1::2]
    else:
        names = _names(Path(choose_on), data)
        chosen = [photo for photo in known if photo.name in names][: images or None]
        others = [photo for photo in known if photo.name not in names][: images or None]
    if not chosen or not others:
        raise SBNetError(
            "a choice needs images with ground truth, and others to report on: of the training images there are "
            f"{len(chosen)} and {len(others)}; add masks"
        )
    return chosen, others


def _names(path: Path, data: RunData) -> set[str]:
    """The names of a list to choose on, all of which must be training images: a misspelled one would be reported on."""
    photos = dict.fromkeys(photo.name for photo in data.train)
    entries = read_list(path)
    for line, name in entries:
        if name not in photos:
            raise SBNetError(
                f"{path}, line {line}: this run has no training image '{name}'"
                f"{did_you_mean(name, photos, nearness=0.9)}; correct the line or remove it"
            )
    return {name for _, name in entries}


def _measure(
    step: Step,
    settings: Sequence[Any],
    context: Context,
    parts: Sequence[list[Photo]],
    *,
    absent: metrics.Absent,
) -> list[list[float | None]]:
    """mIoU of each of the settings, on either part of the images."""
    count = len(context.train.classes)
    confusions = np.zeros((2, len(settings), count, count), np.int64)
    masks = load_object(step.spec.variants)(settings, context)

    def measure(item: tuple[int, Photo]) -> tuple[int, list[np.ndarray]]:
        part, photo = item
        assert photo.mask is not None
        truth = read_mask(photo.mask, classes=count)
        with gpu_memory_told(photo.path, "try fewer values at once, or a lower scale"):
            found = masks(photo)
        return part, [metrics.confusion(mask, truth, classes=count) for mask in found]

    items = [(part, photo) for part, photos in enumerate(parts) for photo in photos]
    workers = 1 if step.spec.network else context.runtime.worker_count  # a network takes all cores itself
    with nullcontext() if step.spec.network else one_torch_thread():
        done = map_unordered(measure, items, workers=workers)
        for part, matrices in photo_progress(f"sweep {step.name}", done, len(items)):
            confusions[part] += matrices
    means = metrics.mean_iou(confusions, absent=absent)
    return [[None if np.isnan(miou) else float(miou) for miou in part] for part in means]
