"""metrics.json: what every finished step's output is worth, measured where there is ground truth."""

from __future__ import annotations

from typing import Any

from sbnet.data.io.files import stored_json, write_json
from sbnet.metrics.confusion import Absent
from sbnet.pipeline.graph import Step
from sbnet.pipeline.state import RunState, Status
from sbnet.registry import METHODS
from sbnet.steps.evaluate import evaluate_masks, evaluate_scores
from sbnet.steps.settings import equal_score
from sbnet.steps.spec import UNKNOWN, Measure

METRICS = "metrics.json"


def update_metrics(state: RunState, *, again: bool = False) -> dict[str, Any]:
    """Bring metrics.json up to date with the finished steps; `again` also measures what was measured before.

    Figures of steps that are no longer current are dropped. Returns its content: {name: facts}.
    """
    path = state.folder / METRICS
    before = {} if again else stored_json(path)
    cut = _threshold(state)
    metrics: dict[str, Any] = {}
    for step in state.steps:
        status, images = state.status(step), step.spec.images
        if status.done is None or _unknown(status):
            continue
        for measure in step.spec.measures:
            truth = state.data.fingerprints[images].truth
            of = f"{status.done['ids'][measure.kind.name]} {status.done['fingerprint'][:12]} {truth[:12]}"
            of += f" {cut}" if measure.swept else ""
            of += " absent classes 0" if state.recipe.reference else ""
            facts = before.get(measure.name)
            if not isinstance(facts, dict) or facts.get("of") != of:
                facts = _measure(state, step, measure, cut)
            if facts is not None:
                metrics[measure.name] = facts | {"list": images, "of": of}
    if metrics != before or not path.exists():
        write_json(path, metrics)
    return metrics


def absent(state: RunState) -> Absent:
    """How the mean takes a class that is in neither prediction nor ground truth: the reference counts it as IoU 0."""
    return "zero" if state.recipe.reference else "nan"


def _threshold(state: RunState) -> float:
    """The score at which this run's refinement, or else its CRF, cuts off background."""
    choice, crf = state.recipe.refine, state.recipe.crf
    found = METHODS[choice.name].background_threshold(choice.settings)
    return equal_score(crf.mask_alpha, crf.score_power) if found is None else found


def _measure(state: RunState, step: Step, measure: Measure, cut: float) -> dict[str, Any] | None:
    collection = state.data.train if step.spec.images == "train" else state.data.val
    assert collection is not None
    folder = state.folder / step.name / measure.place
    if measure.swept:
        return evaluate_scores(folder, collection, cut=cut, absent=absent(state))
    return evaluate_masks(folder, collection, absent=absent(state))


def _unknown(status: Status) -> int:
    """How many masks that a finished step took over leave pixels unknown."""
    return int(status.done["facts"].get(UNKNOWN, 0)) if status.done else 0


def miou_note(metrics: dict[str, Any], step: Step, state: RunState) -> str:
    """`45.1 %`, or `61.0 %, with CRF 62.3 %`, for a step's line; why not, where masks leave pixels unknown; '' where there
    is nothing to measure, or no ground truth.
    """
    count = _unknown(state.status(step))
    if count and any(image.mask for image in state.data.train):
        return f"not measured: {count} of {len(state.data.train)} masks have unknown pixels (255)"
    shown: list[str] = []
    for measure in step.spec.measures:
        miou = metrics.get(measure.name, {}).get("miou")
        if miou is not None:
            label = "" if not shown else f"{measure.title} "
            shown.append(f"{label}{100 * miou:.1f} %")
    return ", ".join(shown)
