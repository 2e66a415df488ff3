"""IRN: class boundaries between pixels, and displacements to objects' centers (Ahn, Cho & Kwak, CVPR 2019)."""

from __future__ import annotations

from typing import Any, ClassVar

from sbnet.methods.base import Figure, Method, register
from sbnet.settings import Settings, Share
from sbnet.steps.affinity import AffinityTrainSettings, PropagateSettings, affinity_steps
from sbnet.steps.settings import reference_momentum
from sbnet.steps.spec import BOUNDARIES, PSEUDO_MASKS, Picture, StepSpec


class IrnPropagateSettings(PropagateSettings):
    background_score: Share = 0.25
    """Constant background score, against propagated scores whose maximum in an image is 1."""


class IrnSettings(Settings):
    train: AffinityTrainSettings = AffinityTrainSettings()
    """Training of boundaries and displacements; the backbone stays as it is."""
    propagate: IrnPropagateSettings = IrnPropagateSettings()
    """Propagation of the score maps within boundaries."""


@register
class Irn(Method):
    name = "irn"
    title = "IRN"
    role = "refine"
    about = "learned class boundaries, within which the maps are propagated"
    paper = "Ahn, Cho & Kwak, CVPR 2019"
    figures = (Figure("pseudo masks", "VOC 2012 train", 66.5), Figure("segmenter", "VOC 2012 val", 63.5))
    Settings = IrnSettings
    networks: ClassVar = {"irn": "sbnet.methods.irn.network:IrnNetwork"}

    def steps(self, settings: IrnSettings) -> list[StepSpec]:
        drawn = Picture("IRN boundary", "where propagation ends", "boundaries/{}.png", "grey")
        return affinity_steps(
            settings.train,
            settings.propagate,
            self.title,
            family=self.name,
            module="sbnet.methods.irn",
            mirror=True,
            pictures=(drawn,),
            writes=(PSEUDO_MASKS, BOUNDARIES),
        )

    def reference(self, settings: IrnSettings) -> IrnSettings:
        return settings.model_copy(update={"train": reference_momentum(settings.train)})

    def check(self, settings: IrnSettings, recipe: Any) -> None:
        from sbnet.steps.affinity_training import check_recipe

        check_recipe(settings, recipe, key=f"{self.role}.train")

    def background_threshold(self, settings: IrnSettings) -> float:
        return settings.propagate.background_score ** (1 / settings.propagate.score_power)
