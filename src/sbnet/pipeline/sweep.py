"""Settings of one step tried on what a run has stored: chosen on some of its photos, measured on the others."""

from __future__ import annotations

import itertools
import typing
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sbnet import metrics
from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import write_json
from sbnet.data.io.image import read_mask
from sbnet.data.datasets.labels import read_list
from sbnet.engine.gpu_memory import gpu_memory_told
from sbnet.work.parallel import map_unordered, one_torch_thread
from sbnet.work.progress import photo_progress
from sbnet.errors import SBNetError, did_you_mean
from sbnet.pipeline.data import RunData, open_data
from sbnet.pipeline.folder import open_folder
from sbnet.pipeline.state import RunState, not_done
from sbnet.pipeline.steps import OTHER_BACKGROUND, Step, recipe_steps
from sbnet.config import source
from sbnet.config.convert import field_types, plain, unknown_key
from sbnet.config.recipe import Recipe, load_recipe
from sbnet.report.sweep_chart import write_sweep_chart
from sbnet.steps.workspace import Workspace

SWEPT = ("refine", "random_walk")  # steps that train nothing and whose masks are measured
# Settings that these masks do not depend on -> why, and what to try instead.
UNMEASURED = {
    "refine.low_alpha": "it makes the confident labels; the mask that is measured has refine.mask_alpha",
    "refine.high_alpha": "it makes the confident labels; the mask that is measured has refine.mask_alpha",
    "random_walk.masks": "a walk is measured, and masks made elsewhere need none; sbnet eval measures these",
}


@dataclass(frozen=True)
class Trial:
    """values: dotted key -> value. miou: on the photos that the choice is made on; held_out: on the others. Fractions;
    None where no pixel is known.
    """

    values: dict[str, Any]
    miou: float | None
    held_out: float | None


@dataclass(frozen=True)
class SweepResult:
    """trials: the best first. recipe: the one with the run's own settings. chosen_on, reported_on: numbers of photos.
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
    photos: int = 0,
    choose_on: str | Path | None = None,
    out: str | Path | None = None,
) -> SweepResult:
    """Measure every combination of values of one step's settings on the stored output of the steps before it.

    assignments: `KEY=VALUE,VALUE`; for a key whose value is itself a list, such as `refine.bilateral`, one assignment
    a value. All keys are `refine`'s or all are `random_walk`'s. The run's own settings are always tried, too.
    photos: at most so many of the training photos with a true mask, 0 for all. choose_on: a list of names, those
    without a true mask left out; by default every other photo, in an order that depends on names alone.
    out: where `sweep.json` and `sweep.png` go, by default RUN/sweeps/STEP.
    Raises SBNetError for keys of other steps or without effect on the masks, values out of range, steps that are not
    done, names of `choose_on` that are no training photo, too few true masks.
    """
    folder = Path(run)
    recipe = load_recipe(folder)
    values = _values(folder, recipe, assignments)
    name = next(iter(values)).partition(".")[0]
    own = {key: _value(recipe, key) for key in values}
    combinations = [
        dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())
    ]
    tried = [own, *(combination for combination in combinations if combination != own)]
    settings = [getattr(load_recipe(folder, combination), name) for combination in tried]
    with open_folder(folder, recipe):
        data = open_data(recipe, folder)
        workspace, step = _workspace(recipe, folder, data, name)
        chosen, others = _split(data, photos, choose_on)
        scores = _measure(step, settings, workspace, (chosen, others), absent=recipe.absent)
        trials = [Trial(*facts) for facts in zip(tried, *scores, strict=True)]
        ranked = sorted(trials, key=lambda trial: -1.0 if trial.miou is None else trial.miou, reverse=True)
        place = Path(out) if out is not None else folder / "sweeps" / name
        result = SweepResult(
            name, ranked, trials[0], len(chosen), len(others), place / "sweep.json", place / "sweep.png"
        )
        write_json(result.table, _facts(result))
        write_sweep_chart(
            result.picture, list(values), [(t.values, t.miou, t.held_out) for t in trials], own=own
        )
        return result


def _values(folder: Path, recipe: Recipe, assignments: Sequence[str]) -> dict[str, list[Any]]:
    """Dotted key -> the values to try, as a recipe's file has them, each once."""
    if not assignments:
        raise SBNetError("nothing to try; give KEY=VALUE,VALUE, for example random_walk.steps=16,32,64")
    values: dict[str, list[Any]] = {}
    for assignment in assignments:
        key, text = source.split(assignment)
        section, _, field = key.partition(".")
        if section not in SWEPT:
            raise SBNetError(
                f"'{assignment}': {' and '.join(SWEPT)} are the steps that can be tried without training again; give "
                "their settings, such as random_walk.steps"
            )
        if (other := next(iter(values), key).partition(".")[0]) != section:
            raise SBNetError(f"'{assignment}': one step at a time; {other} is swept already")
        kinds = field_types(type(getattr(recipe, section)))
        if field not in kinds:
            raise SBNetError(f"'{assignment}': {unknown_key(key, kinds)}")
        _check_measured(assignment, key, recipe)
        whole = typing.get_origin(kinds[field]) is tuple
        texts = [text] if whole else [part.strip() for part in text.split(",")]
        for one in texts:
            typed = _value(load_recipe(folder, [f"{key}={one}"]), key)
            if typed not in values.setdefault(key, []):
                values[key].append(typed)
    return values


def _check_measured(assignment: str, key: str, recipe: Recipe) -> None:
    """A key of no effect would have every value tie, and the first be called the best."""
    if key in UNMEASURED:
        raise SBNetError(f"'{assignment}': nothing to choose by; {UNMEASURED[key]}")
    method = recipe.train_affinity.method
    if key == f"random_walk.{OTHER_BACKGROUND[method]}":
        (read,) = set(OTHER_BACKGROUND.values()) - {OTHER_BACKGROUND[method]}
        raise SBNetError(
            f"'{assignment}': nothing to choose by; the walk of this run (train_affinity.method={method}) does not "
            f"read it, but random_walk.{read}"
        )


def _value(recipe: Recipe, key: str) -> Any:
    section, _, field = key.partition(".")
    return plain(getattr(getattr(recipe, section), field))


def _workspace(recipe: Recipe, folder: Path, data: RunData, name: str) -> tuple[Workspace, Step]:
    """What the step would be given, once the steps that it reads are done."""
    steps = recipe_steps(recipe)
    step = next((step for step in steps if step.name == name), None)
    if step is None:
        raise SBNetError(
            f"there is no step '{name}' in this run; its steps are {', '.join(s.name for s in steps)}"
        )
    if name == "random_walk" and recipe.random_walk.masks:
        raise SBNetError(
            f"{folder}: its masks were made elsewhere ({recipe.random_walk.masks}); nothing to try"
        )
    state = RunState(folder, steps, recipe, data)
    for needed in step.inputs.values():
        if (reason := not_done(state.status(state.step(needed)))) is not None:
            raise SBNetError(
                f"{folder}: '{name}' is tried on the output of '{needed}', which is {reason}; "
                f"bring it up to date first: sbnet run {folder} --to {needed}"
            )
    inputs = {given: folder / source for given, source in step.inputs.items()}
    workspace = Workspace(folder / name, inputs, data.train, data.val, recipe.model, recipe.runtime)
    return workspace, step


def _split(data: RunData, photos: int, choose_on: str | Path | None) -> tuple[list[Photo], list[Photo]]:
    """The photos with a true mask that the choice is made on, and those that it is reported on."""
    # A checksum of the name shuffles alike on every machine; in name order one source would come first.
    known = sorted(
        (photo for photo in data.train if photo.mask), key=lambda p: (zlib.crc32(p.name.encode()), p.name)
    )
    if choose_on is None:
        known = known[: photos or None]
        chosen, others = known[0::2], known[1::2]
    else:
        names = _names(Path(choose_on), data)
        chosen = [photo for photo in known if photo.name in names][: photos or None]
        others = [photo for photo in known if photo.name not in names][: photos or None]
    if not chosen or not others:
        raise SBNetError(
            "a choice needs photos with true masks, and others to report on: of the training photos there are "
            f"{len(chosen)} and {len(others)}; add masks to SegmentationClass"
        )
    return chosen, others


def _names(path: Path, data: RunData) -> set[str]:
    """The names of a list to choose on, all of which must be training photos: a misspelt one would be reported on."""
    photos = dict.fromkeys(photo.name for photo in data.train)
    entries = read_list(path)
    for line, name in entries:
        if name not in photos:
            raise SBNetError(
                f"{path}, line {line}: there is no training photo '{name}' in this run"
                f"{did_you_mean(name, photos, nearness=0.9)}: mend the line or remove it"
            )
    return {name for _, name in entries}


def _measure(
    step: Step,
    settings: Sequence[Any],
    workspace: Workspace,
    parts: tuple[list[Photo], list[Photo]],
    *,
    absent: metrics.Absent,
) -> tuple[list[float | None], list[float | None]]:
    """mIoU of each of the settings, on both parts of the photos: those chosen and the others."""
    count = len(workspace.train.classes)
    confusions = np.zeros((2, len(settings), count, count), np.int64)
    masks = step.module.variants(settings, workspace)

    def measure(item: tuple[int, Photo]) -> tuple[int, list[np.ndarray]]:
        part, photo = item
        assert photo.mask is not None
        truth = read_mask(photo.mask, classes=count)
        with gpu_memory_told(photo.path, "try fewer values at once, or a lower random_walk.scale"):
            found = masks(photo)
        return part, [metrics.confusion(mask, truth, classes=count) for mask in found]

    items = [(part, photo) for part, photos in enumerate(parts) for photo in photos]
    workers = 1 if step.network else workspace.runtime.worker_count  # a network takes all cores itself
    with nullcontext() if step.network else one_torch_thread():
        done = map_unordered(measure, items, workers=workers)
        for part, matrices in photo_progress(f"sweep {step.name}", done, len(items)):
            confusions[part] += matrices
    means = [
        [None if np.isnan(miou) else float(miou) for miou in metrics.mean_iou(part, absent=absent)]
        for part in confusions
    ]
    return means[0], means[1]


def _facts(result: SweepResult) -> dict[str, Any]:
    """What `sweep.json` holds."""
    return {
        "step": result.step,
        "photos": {"chosen on": result.chosen_on, "reported on": result.reported_on},
        "recipe": vars(result.recipe),
        "trials": [vars(trial) for trial in result.trials],
    }
