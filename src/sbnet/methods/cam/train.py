"""Train the CAM network from image-level labels (plain CAM, SEAM, or SBNet)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet import losses, ops
from sbnet.data.training.dataset import TrainingSet
from sbnet.data.training.edges import EDGES
from sbnet.data.io.files import LABEL_FOLDERS
from sbnet.data.training.transforms import AUGMENTATIONS, JITTER, TrainTransform
from sbnet.engine.fit import fit
from sbnet.engine.optimizer import Plan
from sbnet.errors import check_choice
from sbnet.engine.bring import bring_network
from sbnet.engine.model_file import save_model
from sbnet.engine.networks import build
from sbnet.steps.workspace import Workspace

METHODS = {
    "cam": frozenset({"class"}),
    "seam": frozenset({"class", "min_pool", "equivariance", "cross"}),
    "sbnet": frozenset({"class", "min_pool", "equivariance", "cross", "boundary", "smoothness"}),
}
BOUNDARY_MAKERS = ("change", "window")

READS = ("boundaries",)  # where the method is sbnet and `boundaries` names no folder
WRITES = ("model.safetensors", "log.csv")


@dataclass(frozen=True)
class Settings:
    """method: `cam` (class loss alone), `seam` (+ min-pool, equivariance, cross), `sbnet` (+ boundary, smoothness).
    epochs, batch, accumulate: passes over the photos; photos a step; steps whose gradients are summed.
    learning_rate, momentum, weight_decay: SGD with polynomial decay of power 0.9.
    crop, long_side: training crop and the range of random long sides, pixels.
    jitter: change the colours at random, as SEAM and AffinityNet do; IRN does not.
    augmentation: `fast` (colours by one matrix, large JPEGs decoded smaller) or `exact` (Pillow, in turn).
    shrink: size of view 2 relative to the crop. 0.3 of the paper's 448 is 134 pixels; of a small crop it is too little.
    boundary_weight, smoothness_weight: loss weights (paper: 0.01 and 1; smoothness is 10 x first + second order).
    warmup: share of the steps over which every term but the class loss grows from 0 to its weight, for trainings of
    some hundred steps: there the smoothness term flattens maps that know no class yet, for good. 0 as in the paper.
    canny: edges that the boundary head is given: of the `photo`, or of the `normalized` image cast to bytes that wrap,
    as the reference's code has it: noise. The recipe's `reference: true` sets it.
    boundary_width: pixels on both sides of a label change that count as boundary.
    boundary_maker: `change` (label changes) or `window` (class shares in a 13 x 13 window, as BES).
    boundary_labels: which of the bootstrap's labels the boundaries are taken from: `confident` (no boundary next to
    what they leave open), or `crf`, the CRF's masks, which leave nothing open: more boundaries, more of them wrong.
    boundaries: a folder of label PNGs made elsewhere, read instead of the bootstrap network's.
    network: a CAM network trained elsewhere, taken instead: a model file of sbnet's, or weights of the reference's.
    """

    method: str = "sbnet"
    epochs: int = 8
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int = 448
    long_side: tuple[int, int] = (448, 768)
    jitter: bool = True
    augmentation: str = "fast"
    shrink: float = 0.3
    boundary_weight: float = 0.01
    smoothness_weight: float = 1.0
    warmup: float = 0.0
    canny: str = "photo"
    boundary_width: int = 3
    boundary_maker: str = "change"
    boundary_labels: str = "confident"
    boundaries: str = ""
    network: str = ""
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        check_choice("augmentation", self.augmentation, AUGMENTATIONS)
        check_choice("method", self.method, METHODS)
        check_choice("canny", self.canny, EDGES)
        check_choice("boundary_maker", self.boundary_maker, BOUNDARY_MAKERS)
        check_choice("boundary_labels", self.boundary_labels, LABEL_FOLDERS)


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Write the trained network and its log. Raises SBNetError for photos, labels or weights that cannot be used."""
    target = workspace.folder / "model.safetensors"
    meta = workspace.meta(method=settings.method, canny=settings.canny)
    if settings.network:
        name = f"sbnet-{workspace.model.backbone}"
        return bring_network(settings.network, target, name=name, classes=workspace.train.classes, meta=meta)
    workspace.runtime.seed_torch()  # new layers are random
    model = build(
        f"sbnet-{workspace.model.backbone}",
        classes=len(workspace.train.classes),
        weights=workspace.model.weights,
        stride=workspace.model.stride,
        freeze=workspace.model.freeze,
        dilate=workspace.model.dilate,
    )
    with_boundaries = settings.method == "sbnet"
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
        label_folder=_boundary_labels(settings, workspace) if with_boundaries else None,
        canny=settings.canny if with_boundaries else "",
        shrink=settings.shrink,
    )
    facts = fit(
        model,
        photos,
        Objective(settings, len(workspace.train.classes)),
        plan=Plan.of(settings),
        runtime=workspace.runtime,
        folder=workspace.folder,
        title=f"train CAM network ({settings.method})",
        checkpoint_every=settings.checkpoint_every,
    )
    save_model(model, target, meta=meta)
    return facts


def _boundary_labels(settings: Settings, workspace: Workspace) -> Path:
    if settings.boundaries:
        return Path(settings.boundaries)
    return workspace.inputs["boundaries"] / LABEL_FOLDERS[settings.boundary_labels]


class Objective:
    """The loss terms of one batch: both views through the network, then the terms that the method has."""

    def __init__(self, settings: Settings, classes: int) -> None:
        self._settings, self._classes = settings, classes
        self._terms = METHODS[settings.method]

    def __call__(self, model: nn.Module, batch: Mapping[str, Tensor], done: float) -> dict[str, Tensor]:
        """done: share of the training's steps that are behind."""
        terms = self._terms_of(model, batch)
        share = min(1.0, done / self._settings.warmup) if self._settings.warmup else 1.0
        return {name: value if name == "class" else share * value for name, value in terms.items()}

    def _terms_of(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        settings, images = self._settings, batch["image"].contiguous(memory_format=torch.channels_last)
        if settings.method == "cam":
            full = model(images, boundary=False, refine=False, enlarge=False)
            return losses.structure_aware(full, None, batch["labels"], terms=self._terms)
        size = [int(side * settings.shrink) for side in images.shape[-2:]]
        shrunk = functional.interpolate(images, size, mode="bilinear", align_corners=True)
        if settings.method == "seam":
            full, small = (model(view, boundary=False, enlarge=False) for view in (images, shrunk))
            return losses.structure_aware(full, small, batch["labels"], terms=self._terms)
        full = model(images, batch["canny"], enlarge=False)
        small = model(shrunk, batch["canny_small"], enlarge=False)
        return losses.structure_aware(
            full,
            small,
            batch["labels"],
            self._boundaries(batch["label"]),
            terms=self._terms,
            boundary_weight=settings.boundary_weight,
            smoothness_weight=settings.smoothness_weight,
        )

    def _boundaries(self, label: Tensor) -> Tensor:
        """Boundary maps of the cropped confident labels, made on the training device."""
        if self._settings.boundary_maker == "window":
            return ops.window_boundaries(label, classes=self._classes)
        return ops.label_boundaries(label, classes=self._classes, width=self._settings.boundary_width)
