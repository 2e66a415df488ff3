"""Train the network that says which pixels belong together, on the confident labels: AffinityNet or IRN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sbnet import losses, ops
from sbnet.data.training.dataset import TrainingSet
from sbnet.data.training.transforms import AUGMENTATIONS, JITTER, TrainTransform
from sbnet.engine.fit import Losses, fit
from sbnet.engine.optimizer import Plan
from sbnet.errors import SBNetError, check_choice
from sbnet.engine.bring import bring_network
from sbnet.engine.model_file import load_model, save_model
from sbnet.methods.affinitynet.network import AffinityNetwork
from sbnet.methods.irn.network import IrnNetwork
from sbnet.engine.networks import build, same_backbone
from sbnet.ops.label_grid import label_grid
from sbnet.steps.workspace import Workspace

SMALLEST_GRID = 5  # cells a side, below which no cell has a neighbour to pair with
METHODS = {"affinitynet": "AffinityNet", "irn": "IRN"}
STARTS = ("imagenet", "cam")

READS = ("labels", "cam")  # the CAM network only where it is the start
WRITES = ("model.safetensors", "log.csv")


@dataclass(frozen=True)
class Settings:
    """Names as in train_cam.
    method: `affinitynet` (features whose nearness is affinity), or `irn` (class boundaries between pixels, and
    displacements to objects' centres; the backbone stays as it is).
    start: the backbone's first weights: `imagenet` (model.weights, as PSA), or `cam`, those of the trained CAM network,
    which knows the classes already: for short trainings.
    network: one trained elsewhere, taken instead, as in train_cam.
    """

    method: str = "affinitynet"
    start: str = "imagenet"
    epochs: int = 8
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int = 448
    long_side: tuple[int, int] = (448, 768)
    jitter: bool = True
    augmentation: str = "fast"
    network: str = ""
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        check_choice("augmentation", self.augmentation, AUGMENTATIONS)
        check_choice("method", self.method, tuple(METHODS))
        check_choice("start", self.start, STARTS)


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Write the trained network and its log. Raises SBNetError for photos, labels or weights that cannot be used."""
    target = workspace.folder / "model.safetensors"
    meta = workspace.meta()
    name = f"{settings.method}-{workspace.model.backbone}"
    if settings.network:
        return bring_network(settings.network, target, name=name, classes=workspace.train.classes, meta=meta)
    workspace.runtime.seed_torch()  # new layers are random
    classes = len(workspace.train.classes)
    model = build(
        name,
        classes=classes,
        weights=workspace.model.weights,
        stride=workspace.model.stride,
        freeze=workspace.model.freeze,
        dilate=workspace.model.dilate,
    )
    assert isinstance(model, AffinityNetwork | IrnNetwork)
    smallest = SMALLEST_GRID * model.output_stride
    if settings.crop < smallest:
        raise SBNetError(
            f"train_affinity.crop: {settings.crop} pixels hold no pair; give {smallest} or more, best 200 or more"
        )
    if settings.start == "cam":
        cam, _ = load_model(workspace.inputs["cam"] / "model.safetensors")
        check_start(cam.name, workspace.model.backbone)
        model.backbone.load_state_dict(cam.backbone.state_dict())
    photos = TrainingSet(
        workspace.train,
        TrainTransform(
            crop=settings.crop,
            long_side=settings.long_side,
            jitter=JITTER if settings.jitter else None,
            augmentation=settings.augmentation,
        ),
        normalization=model.normalization,
        seed=workspace.runtime.seed,
        label_folder=workspace.inputs["labels"] / "labels",
    )
    facts = fit(
        model,
        photos,
        irn_objective(model) if isinstance(model, IrnNetwork) else affinitynet_objective(model),
        plan=Plan.of(settings),
        runtime=workspace.runtime,
        folder=workspace.folder,
        title=f"train {METHODS[settings.method]}",
        checkpoint_every=settings.checkpoint_every,
    )
    save_model(model, target, meta=meta)
    return facts


def check_start(cam: str, backbone: str) -> None:
    """Refuse, with SBNetError, to start `backbone` from that of the CAM network of the name `cam`, a different one."""
    theirs = cam.partition("-")[2]
    if not same_backbone(theirs, backbone):
        raise SBNetError(
            f"train_affinity.start: {backbone} cannot start from the CAM network, which is {cam}; "
            f"set train_affinity.start=imagenet, or model.backbone={theirs}"
        )


def affinitynet_objective(model: AffinityNetwork) -> Losses:
    """Labels vote in each cell of the feature grid; pairs are counted over the whole batch."""

    def objective(network: nn.Module, batch: Mapping[str, Tensor], _done: float) -> dict[str, Tensor]:
        affinity = network(batch["image"].contiguous(memory_format=torch.channels_last)).affinity
        grid = label_grid(batch["label"], stride=model.output_stride, classes=model.classes)
        return {"affinity": losses.affinity(affinity.float(), *ops.pair_labels(grid, radius=model.radius))}

    return objective


def irn_objective(model: IrnNetwork) -> Losses:
    """The same pairs in a wider circle on a finer grid: boundaries between them, and displacements across them."""
    radius = model.radius

    def objective(network: nn.Module, batch: Mapping[str, Tensor], _done: float) -> dict[str, Tensor]:
        output = network(batch["image"].contiguous(memory_format=torch.channels_last))
        grid = label_grid(batch["label"], stride=model.output_stride, classes=model.classes)
        background, foreground, negative = ops.pair_labels(grid, radius=radius)
        affinity = ops.path_affinity(output.boundary.float().sigmoid(), radius=radius)
        return {
            "affinity": losses.affinity(affinity, background, foreground, negative),
            "displacement": losses.displacement(output.displacement, background, foreground, radius=radius),
        }

    return objective
