"""AffinityNet: features whose nearness says whether two pixels share a class (PSA; Ahn & Kwak, CVPR 2018)."""

from __future__ import annotations

from typing import ClassVar

from sbnet.methods.affinitynet.settings import AffinityNetSettings
from sbnet.methods.base import Figure, Method, register
from sbnet.steps.affinity import affinity_steps
from sbnet.steps.settings import equal_score, reference_momentum
from sbnet.steps.spec import StepSpec


@register
class AffinityNet(Method):
    name = "affinitynet"
    title = "AffinityNet"
    role = "refine"
    about = "learned affinities of pixels, along which the maps are propagated"
    paper = "Ahn & Kwak, CVPR 2018"
    figures = (Figure("pseudo masks", "VOC 2012 train", 61.0), Figure("segmenter", "VOC 2012 val", 61.7))
    Settings = AffinityNetSettings
    networks: ClassVar = {"affinitynet": "sbnet.methods.affinitynet.network:AffinityNetwork"}

    def steps(self, settings: AffinityNetSettings) -> list[StepSpec]:
        return affinity_steps(
            settings.train, settings.propagate, self.title, family=self.name, module="sbnet.methods.affinitynet"
        )

    def reference(self, settings: AffinityNetSettings) -> AffinityNetSettings:
        return settings.model_copy(update={"train": reference_momentum(settings.train)})

    def background_threshold(self, settings: AffinityNetSettings) -> float:
        return equal_score(settings.propagate.background_alpha, settings.propagate.score_power)
