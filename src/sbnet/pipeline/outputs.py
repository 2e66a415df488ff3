"""The most finished masks of a run."""

from __future__ import annotations

import shlex
from pathlib import Path

from sbnet.config.recipe import load_recipe
from sbnet.errors import SBNetError
from sbnet.pipeline.graph import recipe_steps
from sbnet.steps.spec import MASKS, PSEUDO_MASKS, StepSpec


def final_masks(run: Path) -> Path:
    """The folder of NAME.png that the last finished step with masks wrote. Raises SBNetError where there is none."""
    for step in reversed(recipe_steps(load_recipe(run))):
        if (run / step.name / "done.json").is_file():
            for place in _places(step.spec):
                if (run / step.name / place).is_dir():
                    return run / step.name / place
    raise SBNetError(f"{run}: this run has no finished masks; finish it: sbnet run {shlex.quote(str(run))}")


def _places(spec: StepSpec) -> list[str]:
    """Folders of masks in a step's folder, the most finished first."""
    kinds = (MASKS, PSEUDO_MASKS)
    measured = [measure.place for measure in spec.measures if measure.kind in kinds]
    return [*reversed(measured), *(kind.place for kind in spec.writes if kind in kinds)]
