"""Class activation maps of the training photos, over several scales and mirrored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sbnet.data.collection import Photo
from sbnet.data.files import write_scores
from sbnet.engine.inference import infer_photos, unmirror, views
from sbnet.errors import SBNetError, did_you_mean
from sbnet.interop.checkpoint import load_model
from sbnet.ops import normalize_scores
from sbnet.stages.workspace import Workspace

MAPS = ("refined", "raw")

READS = ("network",)


@dataclass(frozen=True)
class Settings:
    """scales: photo sizes relative to the original; mirror: each scale's mirror image besides.
    map: `refined` (after the pixel correlation module) or `raw`.
    """

    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    mirror: bool = True
    map: str = "refined"

    def __post_init__(self) -> None:
        if self.map not in MAPS:
            raise SBNetError(
                f"infer_cam.map: '{self.map}' is not one of {', '.join(MAPS)}{did_you_mean(self.map, MAPS)}"
            )


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    model, _ = load_model(workspace.inputs["network"] / "model.safetensors")
    fabric = workspace.runtime.fabric()
    network = fabric.setup_module(model.eval().to(memory_format=torch.channels_last))
    scores_folder = workspace.folder / "scores"
    scores_folder.mkdir(parents=True, exist_ok=True)

    @torch.inference_mode()
    def compute(photo: Photo, pixels: np.ndarray) -> Callable[[], None]:
        total: Tensor | None = None
        size = pixels.shape[:2]
        present = torch.tensor(photo.classes)
        for images in views(
            pixels, network, scales=settings.scales, mirror=settings.mirror, device=fabric.device
        ):
            output = network(images, boundary=False, refine=settings.map == "refined")
            cam = output.refined_cam if settings.map == "refined" else output.cam
            cam = functional.interpolate(cam[:, present].float(), size, mode="bilinear", align_corners=False)
            total = unmirror(cam) if total is None else total + unmirror(cam)
        assert total is not None
        scores = normalize_scores(total).cpu().numpy()
        return partial(write_scores, scores_folder / f"{photo.name}.npz", scores, np.array(photo.classes))

    todo = [photo for photo in workspace.train.photos if not (scores_folder / f"{photo.name}.npz").exists()]
    infer_photos("infer CAMs", todo, compute, workers=workspace.runtime.worker_count)
    return {"photos": len(workspace.train.photos)}
