"""A method of class score maps: a classifier over the deepest feature, with a teacher that follows its weights."""

from __future__ import annotations

from typing import ClassVar

from sbnet.engine.optimization import TrainSettings
from sbnet.methods.base import Figure, Method
from sbnet.settings import NotNegative, Settings, Share
from sbnet.steps.spec import MODEL, SCORES, Measure, Picture, StepSpec


class TrainToy(TrainSettings):
    """Training of the toy network."""

    agreement: NotNegative = 0.1
    """Weight of the term that keeps the scores near the teacher's."""
    decay: Share = 0.9
    """How slowly the teacher follows."""


class InferToy(Settings):
    """Its maps."""

    power: NotNegative = 1.0
    """Exponent of the maps."""


class ToySettings(Settings):
    train: TrainToy = TrainToy()
    """Training of the toy network."""
    infer: InferToy = InferToy()
    """Its maps."""


class ToyCam(Method):
    name = "toy_cam"
    title = "Toy CAM"
    role = "seeds"
    about = "a classifier with a teacher"
    paper = "nobody, nowhere"
    figures = (Figure("CAM", "squares", 50.0),)
    Settings = ToySettings
    networks: ClassVar = {"toycam": "sbnet_toy.network:ToyNetwork"}

    def steps(self, settings: ToySettings) -> list[StepSpec]:
        return [
            StepSpec(
                name="train_toy",
                title="Train the toy network",
                does="train the toy network",
                run="sbnet_toy.training:run",
                settings=settings.train,
                writes=(MODEL,),
                trains="toycam",
                key="train",
            ),
            StepSpec(
                name="toy_maps",
                title="Toy maps",
                does="maps of the toy network",
                run="sbnet_toy.maps:run",
                settings=settings.infer,
                reads={"network": MODEL},
                writes=(SCORES,),
                measures=(Measure("toy_cam", "Toy CAM", SCORES),),
                pictures=(Picture("Toy map", "by class", "scores/{}.npz", "heat", threshold="toy_cam"),),
                key="infer",
            ),
        ]
