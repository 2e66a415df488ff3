"""What a run ends with: its most finished masks, and the file of its segmenter."""

from __future__ import annotations

import shlex
from pathlib import Path

from sbnet.config.recipe import load_recipe
from sbnet.errors import SBNetError
from sbnet.pipeline.graph import recipe_steps
from sbnet.steps.spec import MASKS, MODEL, PSEUDO_MASKS


def final_masks(run: Path) -> Path:
    """The folder of NAME.png that the last finished step with masks wrote. Raises SBNetError where there is none."""
    kinds = (MASKS, PSEUDO_MASKS)
    for step in reversed(recipe_steps(load_recipe(run))):
        measured = [measure.place for measure in step.spec.measures if measure.kind in kinds]
        places = [*reversed(measured), *(kind.place for kind in step.spec.writes if kind in kinds)]
        found = (run / step.name / place for place in places if (run / step.name / place).is_dir())
        if (run / step.name / "done.json").is_file() and (folder := next(found, None)):
            return folder
    raise SBNetError(f"{run}: this run has no finished masks; finish it: sbnet run {shlex.quote(str(run))}")


def segmenter_file(run: Path) -> Path:
    """The model from which the run's masks are predicted; it may not exist yet."""
    step = next(step for step in reversed(recipe_steps(load_recipe(run))) if MASKS in step.spec.writes)
    provider = next(name for name, kind in step.inputs.values() if kind == MODEL)
    return run / provider / MODEL.place
