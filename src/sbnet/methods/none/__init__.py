"""No refinement: the segmenter learns from the CRF masks."""

from __future__ import annotations

from sbnet.methods.base import Method, register
from sbnet.settings import Settings as NoSettings
from sbnet.steps.spec import StepSpec


@register
class NoRefinement(Method):
    name = "none"
    title = "no refinement"
    role = "refine"
    about = "the segmenter learns from the CRF masks"
    Settings = NoSettings

    def steps(self, settings: NoSettings) -> list[StepSpec]:
        return []
