"""Class activation maps of the training photos, over several scales and mirrored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet.data.collection import Photo
from sbnet.data.files import write_grey, write_scores
from sbnet.engine.inference import infer_photos, unmirror, views
from sbnet.errors import SBNetError, did_you_mean
from sbnet.interop.checkpoint import load_model
from sbnet.ops import canny, normalize_scores
from sbnet.stages.workspace import Workspace

MAPS = ("auto", "refined", "raw")

READS = ("network",)


@dataclass(frozen=True)
class Settings:
    """scales: photo sizes relative to the original; mirror: each scale's mirror image besides.
    map: `refined` (after the pixel correlation module), `raw`, or `auto`: raw where that module was never trained.
    boundaries: also keep the boundaries that an SBNet network predicts at scale 1, as grey PNGs to look at.
    """

    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    mirror: bool = True
    map: str = "auto"
    boundaries: bool = True

    def __post_init__(self) -> None:
        if self.map not in MAPS:
            raise SBNetError(
                f"infer_cam.map: '{self.map}' is not one of {', '.join(MAPS)}{did_you_mean(self.map, MAPS)}"
            )


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    model, meta = load_model(workspace.inputs["network"] / "model.safetensors")
    fabric = workspace.runtime.fabric()
    network = fabric.setup_module(model.eval().to(memory_format=torch.channels_last))
    refine = settings.map == "refined" or (settings.map == "auto" and meta["method"] != "cam")
    scores, boundaries = workspace.folder / "scores", workspace.folder / "boundaries"
    draw_boundaries = settings.boundaries and meta["method"] == "sbnet"

    @torch.inference_mode()
    def compute(photo: Photo, pixels: np.ndarray) -> Callable[[], None]:
        total = torch.zeros((), device=fabric.device)
        present = torch.tensor(photo.classes)
        for images in views(
            pixels, network, scales=settings.scales, mirror=settings.mirror, device=fabric.device
        ):
            cam = network(images, boundary=False, refine=refine).refined_cam[:, present].float()
            cam = functional.interpolate(cam, pixels.shape[:2], mode="bilinear", align_corners=False)
            total = total + unmirror(cam)
        drawn = _boundaries(network, pixels, present, fabric.device) if draw_boundaries else None
        return partial(_write, photo, normalize_scores(total), drawn)

    def _write(photo: Photo, cam: Tensor, drawn: np.ndarray | None) -> None:
        if drawn is not None:
            write_grey(boundaries / f"{photo.name}.png", drawn)
        write_scores(scores / f"{photo.name}.npz", cam.cpu().numpy(), np.array(photo.classes))

    todo = [photo for photo in workspace.train.photos if not (scores / f"{photo.name}.npz").exists()]
    infer_photos("infer CAMs", todo, compute, workers=workspace.runtime.worker_count)
    return {"photos": len(workspace.train.photos)}


def _boundaries(network: nn.Module, pixels: np.ndarray, present: Tensor, device: torch.device) -> np.ndarray:
    """(H, W) uint8: the strongest boundary of the classes in the photo, probability times 255."""
    (image,) = views(pixels, network, scales=(1.0,), mirror=False, device=device)
    edges = torch.from_numpy(canny(pixels))[None, None].to(device)
    logits = network(image, edges, refine=False).boundary_fused[0, present]
    return (logits.float().sigmoid().amax(0) * 255).round().byte().cpu().numpy()
