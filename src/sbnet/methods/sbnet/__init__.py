"""SBNet: class activation maps with a boundary branch and a smoothness loss (Liu et al., IJCNN 2021)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from sbnet.methods.base import Figure, Method, register
from sbnet.methods.cam.steps import infer_step, train_step
from sbnet.methods.sbnet.settings import SBNetSettings, SBNetTrainSettings
from sbnet.steps.settings import reference_momentum
from sbnet.steps.shared import crf_step
from sbnet.steps.spec import BOUNDARIES, PSEUDO_MASKS, SCORES, SEEDS, Picture, StepSpec

BOOTSTRAP = "bootstrap_"


@register
class SBNet(Method):
    name = "sbnet"
    title = "SBNet"
    role = "seeds"
    about = "CAMs with a boundary branch and a smoothness loss"
    paper = "Liu et al., IJCNN 2021"
    figures = (Figure("CAM", "VOC 2012 train", 57.3), Figure("segmenter", "VOC 2012 val", 66.5))
    Settings = SBNetSettings
    networks: ClassVar = {"sbnet": "sbnet.methods.sbnet.network:SBNetwork"}

    def steps(self, settings: SBNetSettings) -> list[StepSpec]:
        train = settings.train
        kind = SEEDS if train.boundary_labels == "seeds" else PSEUDO_MASKS
        drawn = Picture("Predicted boundary", "by the network", "boundaries/{}.png", "grey")
        return [
            *([] if train.boundaries or train.network else self._bootstrap(settings)),
            train_step(
                train,
                self.title,
                "sbnet.methods.sbnet.train:run",
                self.name,
                reads={} if train.boundaries else {"labels": kind},
                pictures=_boundary_pictures(train),
            ),
            infer_step(
                settings.infer,
                "sbnet.methods.sbnet.infer:run",
                extra=(drawn,),
                writes=(SCORES, BOUNDARIES),
                only={BOUNDARIES: ("boundaries",)},
            ),
        ]

    def _bootstrap(self, settings: SBNetSettings) -> list[StepSpec]:
        bootstrap, title = settings.bootstrap, "Bootstrap"
        maps = settings.infer.model_copy(update={"boundaries": False})
        if not bootstrap.train.consistency:
            maps = maps.model_copy(update={"map": "raw"})
        return [
            train_step(
                bootstrap.train,
                "bootstrap",
                "sbnet.methods.sbnet.train:run_bootstrap",
                self.name,
                prefix=BOOTSTRAP,
                key="bootstrap.train",
            ),
            infer_step(maps, prefix=BOOTSTRAP, title=title),
            crf_step(bootstrap.crf, prefix=BOOTSTRAP, title=title, key="bootstrap.crf"),
        ]

    def reference(self, settings: SBNetSettings) -> SBNetSettings:
        train = reference_momentum(settings.train).model_copy(update={"canny": "normalized"})
        first = settings.bootstrap.model_copy(update={"train": reference_momentum(settings.bootstrap.train)})
        return settings.model_copy(update={"train": train, "bootstrap": first})


def _boundary_pictures(settings: SBNetTrainSettings) -> tuple[Picture, ...]:
    options = {"maker": settings.boundary_maker, "width": settings.boundary_width}
    caption = "trained on; striped: unknown"
    if settings.boundaries:
        place = f"{Path(settings.boundaries).resolve()}/{{}}.png"
        return (Picture("Boundary labels", caption, place, "boundaries", options=options),)
    if settings.network:
        return ()
    return (Picture("Boundary labels", caption, "{}.png", "boundaries", read="labels", options=options),)
