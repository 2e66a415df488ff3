"""A refinement that trains nothing: blurred maps against a constant background."""

from __future__ import annotations

from sbnet.methods.base import Method
from sbnet.settings import NotNegative, Settings, Share
from sbnet.steps.spec import PSEUDO_MASKS, SCORES, Measure, Picture, StepSpec


class BlurSettings(Settings):
    width: NotNegative = 2.0
    """Of the blur, pixels."""
    background: Share = 0.3
    """Score of the background."""


class ToyBlur(Method):
    name = "toy_blur"
    title = "Toy blur"
    role = "refine"
    about = "blurred maps"
    Settings = BlurSettings

    def steps(self, settings: BlurSettings) -> list[StepSpec]:
        return [
            StepSpec(
                name="toy_blur",
                title="Toy blur",
                does="blur the maps: the pseudo masks",
                run="sbnet_toy.blurring:run",
                settings=settings,
                reads={"scores": SCORES},
                writes=(PSEUDO_MASKS,),
                network=False,
                measures=(Measure("toy_blur", "Toy blur", PSEUDO_MASKS),),
                pictures=(Picture("Toy blur", "the pseudo mask", "masks/{}.png", "mask"),),
                variants="sbnet_toy.blurring:variants",
            )
        ]

    def background_threshold(self, settings: BlurSettings) -> float:
        return settings.background
