"""Train a segmenter on the pseudo masks (or, as the ceiling, on the true ones)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sbnet import losses
from sbnet.data.training.dataset import TrainingSet
from sbnet.data.training.transforms import AUGMENTATIONS, TrainTransform
from sbnet.engine.fit import fit
from sbnet.engine.optimizer import Plan
from sbnet.errors import SBNetError, check_choice
from sbnet.engine.bring import bring_network
from sbnet.engine.model_file import save_model
from sbnet.engine.networks import SEGMENTERS, build
from sbnet.segmenters.deeplab import HEADS
from sbnet.steps.workspace import Workspace

LABELS = ("pseudo", "truth")
RATE_HELD = 10  # steps between two updates of the learning rate, as in DeepLab v2's training

READS = ("labels",)
WRITES = ("model.safetensors", "log.csv")


@dataclass(frozen=True)
class Settings:
    """Names as in train_cam. backbone, freeze: '' and -1 for the run's own. One that is named is dilated, as DeepLab's.
    family: `deeplabv2`, or with the library of the extra `smp` `deeplabv3plus`, `upernet` or `segformer`.
    head: of deeplabv2, `pyramid`, or `large_fov` (DeepLab v1, as SEAM has it over ResNet-38).
    channels: of the other families' decoders; 0 for what suits the backbone.
    labels: `pseudo`, or `truth` for the ceiling.
    head_rate: learning rate of the new layers, in multiples of `learning_rate`, which is the backbone's.
    scales: input sizes whose logits are maxed and each trained (DeepLab v2, section 3.1).
    network: a segmenter trained elsewhere, taken instead, as in train_cam.
    """

    backbone: str = ""
    weights: str = "auto"
    freeze: int = -1
    family: str = "deeplabv2"
    head: str = "pyramid"
    channels: int = 0
    labels: str = "pseudo"
    scales: tuple[float, ...] = (1.0, 0.75, 0.5)
    epochs: int = 20
    batch: int = 10
    accumulate: int = 1
    learning_rate: float = 2.5e-4
    head_rate: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int = 321
    scale: tuple[float, float] = (0.5, 1.5)
    augmentation: str = "fast"
    network: str = ""
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        check_choice("augmentation", self.augmentation, AUGMENTATIONS)
        check_choice("family", self.family, SEGMENTERS)
        check_choice("head", self.head, HEADS)
        if self.family != "deeplabv2" and self.head != "pyramid":
            raise SBNetError(
                f"head: '{self.head}' is one of deeplabv2's, not of {self.family}'s; leave it out"
            )
        smallest = SEGMENTERS[self.family].smallest_batch
        if 0 < self.batch < smallest:
            raise SBNetError(
                f"batch: {self.family} needs batches of {smallest} photos or more, for its decoder's batch norms"
            )
        if self.family == "deeplabv2" and self.channels:
            raise SBNetError("channels: deeplabv2 has no decoder; leave it out, or choose another family")
        check_choice("labels", self.labels, LABELS)


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Write the trained segmenter and its log. Raises SBNetError for photos, masks or weights that cannot be used."""
    target = workspace.folder / "model.safetensors"
    meta = workspace.meta(predict=dict(workspace.predict))
    name = f"{settings.family}-{settings.backbone or workspace.model.backbone}"
    if settings.network:
        return bring_network(settings.network, target, name=name, classes=workspace.train.classes, meta=meta)
    workspace.runtime.seed_torch()  # new layers are random
    model = build(
        name,
        classes=len(workspace.train.classes),
        weights=settings.weights,
        stride=workspace.model.stride,
        freeze=workspace.model.freeze if settings.freeze < 0 else settings.freeze,
        dilate=workspace.model.dilate or bool(settings.backbone),
        scales=settings.scales,
        **_head(settings),
    )
    photos = TrainingSet(
        workspace.train,
        TrainTransform(
            crop=settings.crop, scale=settings.scale, jitter=None, augmentation=settings.augmentation
        ),
        normalization=model.normalization,
        seed=workspace.runtime.seed,
        label_folder=None if settings.labels == "truth" else workspace.inputs["labels"] / "masks",
        truth=settings.labels == "truth",
    )

    def objective(network: nn.Module, batch: Mapping[str, Tensor], _done: float) -> dict[str, Tensor]:
        output = network(batch["image"].contiguous(memory_format=torch.channels_last))
        return {"segmentation": losses.multi_scale_cross_entropy(output.supervised, batch["label"])}

    facts = fit(
        model,
        photos,
        objective,
        plan=Plan.of(settings, hold=RATE_HELD, head_rate=settings.head_rate),
        runtime=workspace.runtime,
        folder=workspace.folder,
        title="train segmenter",
        checkpoint_every=settings.checkpoint_every,
    )
    save_model(model, target, meta=meta)
    return facts


def _head(settings: Settings) -> dict[str, Any]:
    """The options of what stands on the backbone."""
    if settings.family == "deeplabv2":
        return {"head": settings.head}
    return {"channels": settings.channels} if settings.channels else {}
