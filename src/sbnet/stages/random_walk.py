"""Spread the CAMs along the learned affinities: the pseudo masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from sbnet import ops
from sbnet.data.collection import Photo
from sbnet.data.files import read_scores, write_label
from sbnet.engine.inference import infer_photos, inference_network, views
from sbnet.interop.checkpoint import load_model
from sbnet.stages.workspace import Workspace

READS = ("scores", "network")
WRITES = ("masks",)


@dataclass(frozen=True)
class Settings:
    """background_alpha, score_power: background = (1 - max CAM^power)^alpha, as in refine.
    sharpness: the papers' beta. steps: walk length.
    scale: photo size, relative to the original, at which affinities are taken; more than 1 for small photos.
    crf: refine the walked scores with the dense CRF before the mask is cut.
    """

    background_alpha: float = 16.0
    score_power: float = 1.0
    sharpness: float = 8.0
    steps: int = 64
    scale: float = 1.0
    crf: bool = False


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Write the pseudo mask of every training photo that has none yet."""
    model, _ = load_model(workspace.inputs["network"] / "model.safetensors")
    fabric, network = inference_network(model, workspace.runtime)
    masks = workspace.folder / "masks"

    @torch.inference_mode()
    def compute(photo: Photo, pixels: np.ndarray) -> Callable[[], None]:
        stored = read_scores(workspace.inputs["scores"] / "scores" / f"{photo.name}.npz")
        foreground = torch.from_numpy(stored.scores).to(fabric.device)
        scores = ops.with_background_score(
            foreground, alpha=settings.background_alpha, power=settings.score_power
        )
        walked = walk(network, pixels, scores, stride=model.output_stride, settings=settings).cpu().numpy()
        return lambda: write_label(
            masks / f"{photo.name}.png", _cut(walked, pixels, stored.classes, settings)
        )

    todo = [photo for photo in workspace.train.photos if not (masks / f"{photo.name}.png").exists()]
    infer_photos("random walk", todo, compute, workers=workspace.runtime.worker_count)
    return {"photos": len(workspace.train.photos)}


def walk(
    network: torch.nn.Module, pixels: np.ndarray, scores: torch.Tensor, *, stride: int, settings: Settings
) -> torch.Tensor:
    """scores (K, H, W), background first -> the same shape after the walk on the network's grid.

    Photo (normalised) and scores are padded with zeros at right and bottom to a multiple of the stride.
    """
    (image,) = views(pixels, network, scales=(settings.scale,), mirror=False, device=scores.device)
    height, width = image.shape[-2:]
    padding = (0, -width % stride, 0, -height % stride)
    affinity = network(functional.pad(image, padding)).affinity[0].float()
    coarse = functional.avg_pool2d(functional.pad(_resize(scores, (height, width)), padding)[None], stride)[0]
    walked = ops.random_walk(coarse, affinity, sharpness=settings.sharpness, steps=settings.steps)
    padded = (coarse.shape[-2] * stride, coarse.shape[-1] * stride)
    return _resize(_resize(walked, padded)[:, :height, :width], pixels.shape[:2])


def _resize(maps: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """(K, H, W) to another size, bilinear, as the reference does outside its networks."""
    return functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


def _cut(walked: np.ndarray, pixels: np.ndarray, classes: np.ndarray, settings: Settings) -> np.ndarray:
    """The mask of whole-dataset ids, after the CRF where it is asked for."""
    if settings.crf:
        walked = ops.DenseCRF(pixels).marginals(np.ascontiguousarray(walked, dtype=np.float32))
    return np.concatenate([[0], classes]).astype(np.uint8)[walked.argmax(0)]
