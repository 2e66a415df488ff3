"""metrics.json: what every finished step's output is worth, measured where there is a truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sbnet.data.io.files import read_json, write_json
from sbnet.errors import SBNetError
from sbnet.pipeline.state import RunState, Status
from sbnet.steps import evaluate


@dataclass(frozen=True)
class Measure:
    """name: key in metrics.json. step, folder: whose output, and where in the step's folder it is.
    setting: the score at which the recipe cuts CAMs, which their figure depends on.
    """

    name: str
    step: str
    folder: str
    setting: float | None = None


def measures(state: RunState) -> Iterator[Measure]:
    """What can be measured in a run, in order."""
    walk = state.recipe.random_walk
    if state.recipe.train_affinity.method == "irn":
        cut = walk.background_score ** (1 / walk.score_power)
    else:
        cut = evaluate.equal_score(walk.background_alpha, walk.score_power)
    for step in state.steps:
        stage = step.module.__name__.rpartition(".")[2]
        prefix = "bootstrap_" if step.name.startswith("bootstrap_") else ""
        if stage == "infer_cam":
            yield Measure(f"{prefix}cam", step.name, "scores", cut)
        elif stage in ("refine", "random_walk"):
            yield Measure(f"{prefix}{stage}", step.name, "masks")
        elif stage == "predict" and state.data.val is not None:
            yield Measure("segmenter", step.name, "masks")
            if state.recipe.predict.crf:
                yield Measure("segmenter_crf", step.name, "masks_crf")


def update_metrics(state: RunState, *, anew: bool = False) -> dict[str, Any]:
    """Bring metrics.json up to date with the finished steps; `anew` measures also what was measured before.

    Figures of steps that are no longer current are dropped. Returns its content: {name: facts}.
    """
    path = state.folder / "metrics.json"
    try:
        before = {} if anew or not path.exists() else read_json(path)
    except SBNetError:
        before = {}
    metrics: dict[str, Any] = {}
    for measure in measures(state):
        step = next(step for step in state.steps if step.name == measure.step)
        status = state.status(step)
        if status.state != "done" or status.done is None:
            continue
        if _open_masks(status):  # a figure is for masks that say a class everywhere
            continue
        truth = state.data.fingerprints["truth" if step.photos == "train" else "val_truth"]
        of = f"{status.done['id']} {status.done['fingerprint'][:12]} {truth[:12]} {measure.setting}"
        of += " absent classes 0" if state.recipe.absent == "zero" else ""
        facts = before.get(measure.name)
        if not isinstance(facts, dict) or facts.get("of") != of:
            facts = _measure(measure, state, step.photos)
        if facts is not None:
            metrics[measure.name] = facts | {"list": step.photos, "of": of}
    if metrics != before or not path.exists():
        write_json(path, metrics)
    return metrics


def _measure(measure: Measure, state: RunState, photos: str) -> dict[str, Any] | None:
    collection = state.data.train if photos == "train" else state.data.val
    assert collection is not None
    folder = state.folder / measure.step / measure.folder
    if measure.setting is not None:
        return evaluate.evaluate_scores(folder, collection, cut=measure.setting, absent=state.recipe.absent)
    return evaluate.evaluate_masks(folder, collection, absent=state.recipe.absent)


def _open_masks(status: Status) -> int:
    """How many masks that a finished step took over leave pixels open."""
    return int(status.done["facts"].get("masks with open pixels", 0)) if status.done else 0


def miou_note(metrics: dict[str, Any], step: str, state: RunState) -> str:
    """`45.1 %`, or `61.0 %, with CRF 62.3 %`, for a step's line; why not, where masks leave pixels open; '' where there
    is nothing to measure, or no truth.
    """
    count = _open_masks(state.status(state.step(step)))
    if count and any(photo.mask for photo in state.data.train):
        return f"not measured: {count} of {len(state.data.train)} masks have pixels of no class (255)"
    names = [measure.name for measure in measures(state) if measure.step == step]
    shown = [metrics[name] for name in names if name in metrics and metrics[name].get("miou") is not None]
    return ", with CRF ".join(f"{100 * facts['miou']:.1f} %" for facts in shown)
