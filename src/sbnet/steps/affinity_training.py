"""Train a network on pairs of pixels of the seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sbnet.data.training.dataset import TrainingSet
from sbnet.errors import SBNetError
from sbnet.networks.build import same_backbone
from sbnet.networks.model_file import load_model, network_name
from sbnet.steps.affinity import AffinityTrainSettings
from sbnet.steps.context import Context
from sbnet.steps.training import image_samples, train

SMALLEST_GRID = 5  # cells a side, below which no cell has a neighbor to pair with


def train_affinity(
    settings: AffinityTrainSettings, context: Context, *, title: str, objective: Callable[[Any], Any]
) -> dict[str, Any]:
    """objective(model): its loss terms on images and seeds."""

    def prepare(model: Any) -> None:
        smallest = SMALLEST_GRID * model.output_stride
        if settings.crop < smallest:
            raise SBNetError(
                f"{context.key}.crop is {settings.crop}; expected {smallest} or more, the smallest crop with pairs of "
                "grid cells, best 200 or more"
            )
        if settings.start == "seeds":
            cam, _ = load_model(context.inputs["cam"])
            check_start(cam.name, context.backbone.name, key=context.key)
            model.backbone.load_state_dict(cam.backbone.state_dict())

    def samples(model: Any) -> TrainingSet:
        return image_samples(settings, context, model, labels=context.inputs["seeds"])

    return train(
        settings, context, title=f"train {title}", samples=samples, objective=objective, prepare=prepare
    )


def check_recipe(settings: Any, recipe: Any, *, key: str) -> None:
    """Whether the affinities can start from a seeds network made elsewhere is known before anything runs."""
    network = getattr(getattr(recipe.seeds.settings, "train", None), "network", "")
    if settings.train.start == "seeds" and network:
        name = network_name(network)  # of other origin: it is read as the recipe's backbone
        if name:
            check_start(name, recipe.backbone.name, key=key)


def check_start(network: str, backbone: str, *, key: str) -> None:
    """Refuse, with SBNetError, to start `backbone` from that of the network of this name, a different one. key: of the
    training's settings in the recipe.
    """
    theirs = network.partition("-")[2]
    if not same_backbone(theirs, backbone):
        raise SBNetError(
            f"{key}.start: {backbone} cannot start from the network of the seeds, which is {network}; "
            f"set {key}.start=imagenet, or backbone.name={theirs}"
        )
