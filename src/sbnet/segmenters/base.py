"""What a segmenter's method is: a decoder over a backbone, trained on masks. Imports no PyTorch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from sbnet.backbones.settings import BackboneSettings
from sbnet.engine.optimization import TrainSettings
from sbnet.errors import SBNetError
from sbnet.methods.base import Method
from sbnet.settings import Count, Crop, Factors, Positive, Scales, Weights
from sbnet.steps.spec import MODEL, PSEUDO_MASKS, StepSpec


def _first_is_one(scales: tuple[float, ...]) -> tuple[float, ...]:
    if scales[0] != 1 or not all(0.05 <= scale <= 4 for scale in scales):
        raise ValueError(
            "expected scales from 0.05 to 4, the first 1, to whose size the others' logits are resized"
        )
    return scales


InputScales = Annotated[Scales, AfterValidator(_first_is_one)]


class SegmenterSettings(TrainSettings):
    """Training of the segmenter."""

    backbone: str = ""
    """Backbone of the segmenter; empty for the recipe's. A named backbone is dilated, as in DeepLab."""
    weights: Weights = "auto"
    """Initial weights of this backbone, as `backbone.weights`."""
    freeze: Annotated[int, Field(ge=-1)] = -1
    """Stages that are not trained; -1 for the recipe's."""
    labels: Literal["pseudo", "truth"] = "pseudo"
    """Labels for training: `pseudo` masks, or `truth`, the ground truth (the ceiling)."""
    scales: InputScales = (1.0, 0.75, 0.5)
    """Relative image sizes: each has a loss, and so has the maximum of their logits (DeepLab v2, section 3.1)."""
    epochs: Count = 20
    batch: Count = 10
    learning_rate: Positive = 2.5e-4
    """Learning rate of the backbone."""
    head_rate: Positive = 10.0
    """Learning rate of the new layers, in multiples of the backbone's."""
    crop: Crop = 321
    scale: Factors = (0.5, 1.5)
    """Range of the random factor by which images are resized."""


class SegmenterMethod(Method):
    """A method in the role of the segmenter. Its family of networks has its own name."""

    role = "segmenter"
    weights = "segmenter.weights"
    Settings: ClassVar[type[SegmenterSettings]] = SegmenterSettings

    def steps(self, settings: Any) -> list[StepSpec]:
        masks = "the pseudo masks" if settings.labels == "pseudo" else "the ground truth"
        taken = bool(settings.network)
        return [
            StepSpec(
                name="train_segmenter",
                title=f"Train the segmenter ({self.title})",
                does=f"use the segmenter {settings.network}" if taken else f"train the segmenter on {masks}",
                run="sbnet.segmenters.train:run",
                settings=settings,
                reads={"labels": PSEUDO_MASKS} if settings.labels == "pseudo" and not taken else {},
                writes=(MODEL,),
                truth="labels" if settings.labels == "truth" else "",
                trains=self.name,
            )
        ]

    def backbone(self, settings: Any, backbone: BackboneSettings) -> BackboneSettings:
        """One that is named is dilated, as DeepLab's."""
        own = {
            "name": settings.backbone or backbone.name,
            "weights": settings.weights,
            "freeze": backbone.freeze if settings.freeze < 0 else settings.freeze,
            "dilate": backbone.dilate or bool(settings.backbone),
        }
        return backbone.model_copy(update=own)

    def options(self, settings: Any) -> dict[str, Any]:
        """What `build` takes in addition to the backbone's options."""
        return {"scales": settings.scales}

    def check(self, settings: Any, recipe: Any) -> None:
        from sbnet.networks.build import network_class

        smallest = getattr(network_class(self.name), "smallest_batch", 1)
        if not settings.network and settings.batch < smallest:
            raise SBNetError(
                f"segmenter.batch is {settings.batch}; {self.name} needs batches of {smallest} images or more, "
                "for its decoder's batch norms"
            )


class DecoderSettings(SegmenterSettings):
    channels: Annotated[int, Field(ge=0, le=2**16)] = 0
    """Of the decoder; 0 for what suits the backbone."""


class DecoderMethod(SegmenterMethod):
    """One whose decoder is segmentation-models-pytorch's."""

    Settings = DecoderSettings

    def options(self, settings: DecoderSettings) -> dict[str, Any]:
        channels = {"channels": settings.channels} if settings.channels else {}
        return {"scales": settings.scales, **channels}
