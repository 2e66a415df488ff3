"""AffinityNet: features whose nearness says whether two pixels share a class (PSA; Ahn & Kwak, CVPR 2018)."""

from __future__ import annotations

from typing import Any, ClassVar

from sbnet.methods.base import Figure, Method, register
from sbnet.settings import Positive, Settings
from sbnet.steps.affinity import AffinityTrainSettings, PropagateSettings, affinity_steps
from sbnet.steps.settings import equal_score, reference_momentum
from sbnet.steps.spec import StepSpec


class AffinityNetPropagateSettings(PropagateSettings):
    background_alpha: Positive = 16.0
    """Background is (1 - highest score)^alpha, and is propagated with the classes."""


class AffinityNetSettings(Settings):
    train: AffinityTrainSettings = AffinityTrainSettings()
    """Training of the affinities."""
    propagate: AffinityNetPropagateSettings = AffinityNetPropagateSettings()
    """Propagation of the score maps."""


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
            settings.train,
            settings.propagate,
            self.title,
            family=self.name,
            module="sbnet.methods.affinitynet",
        )

    def reference(self, settings: AffinityNetSettings) -> AffinityNetSettings:
        return settings.model_copy(update={"train": reference_momentum(settings.train)})

    def check(self, settings: AffinityNetSettings, recipe: Any) -> None:
        from sbnet.steps.affinity_training import check_recipe

        check_recipe(settings, recipe, key=f"{self.role}.train")

    def background_threshold(self, settings: AffinityNetSettings) -> float:
        return equal_score(settings.propagate.background_alpha, settings.propagate.score_power)
