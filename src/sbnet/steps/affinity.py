"""What methods of learned affinities share: settings, and the specs of their two steps. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sbnet.settings import Natural, Positive, Settings
from sbnet.steps.settings import ImageTrainSettings
from sbnet.steps.spec import MODEL, PSEUDO_MASKS, SCORES, SEEDS, Kind, Measure, Picture, StepSpec


class AffinityTrainSettings(ImageTrainSettings):
    """Training on pairs of pixels whose classes the seeds give."""

    start: Literal["imagenet", "seeds"] = "imagenet"
    """Initial weights of the backbone: `imagenet` (the recipe's, as in PSA), or `seeds`: those of the trained network that
    made the score maps, which already knows the classes and suits short trainings."""
    learning_rate: Positive = 0.1


class PropagateSettings(Settings):
    """Propagation of the class score maps along the affinities: the pseudo masks."""

    score_power: Positive = 1.0
    """Exponent of the scores before they are propagated; above 1 it narrows wide maps."""
    beta: Positive = 8.0
    """Exponent of the affinities; a higher one suppresses weak affinities."""
    steps: Natural = 64
    """Number of propagation steps."""
    scale: Positive = 1.0
    """Image size, relative to the original, at which affinities are computed; above 1 for small images."""
    crf: bool = False
    """Refine the propagated scores with the dense CRF before the masks are made."""


def affinity_steps(
    train: AffinityTrainSettings,
    propagate: PropagateSettings,
    title: str,
    *,
    family: str,
    module: str,
    mirror: bool = False,
    pictures: tuple[Picture, ...] = (),
    **more: Any,
) -> list[StepSpec]:
    """family: of the network. module: that holds `train.run` and `propagate.run`. mirror: the network
    also sees the mirror image. pictures, more: of the propagation, before its masks; fields of its spec.
    """
    reads: dict[str, Kind] = {"seeds": SEEDS}
    if train.start == "seeds":
        reads["cam"] = MODEL
    mask = Picture("Propagation", "the pseudo mask", "masks/{}.png", "mask")
    fields: Mapping[str, Any] = {"writes": (PSEUDO_MASKS,)} | more
    return [
        StepSpec(
            name="train_affinity",
            title=f"Train {title}",
            does=f"use {title} from {train.network}" if train.network else f"train {title}",
            run=f"{module}.train:run",
            settings=train,
            reads={} if train.network else reads,
            writes=(MODEL,),
            trains=family,
            key="train",
        ),
        StepSpec(
            name="propagate",
            title="Propagation: pseudo masks",
            does=f"propagation along {title}'s affinities: the pseudo masks",
            run=f"{module}.propagate:run",
            settings=propagate,
            reads={"scores": SCORES, "network": MODEL},
            views=((propagate.scale,), mirror),
            measures=(Measure("propagation", "Propagation", PSEUDO_MASKS),),
            pictures=(*pictures, mask),
            variants=f"{module}.propagate:variants",
            key="propagate",
            **fields,
        ),
    ]
