"""Spread the CAMs along the learned affinities, AffinityNet's or IRN's: the pseudo masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet import ops
from sbnet.data.collection import Photo
from sbnet.data.files import read_scores, write_grey, write_label
from sbnet.engine.inference import infer_photos, unmirror, views
from sbnet.interop.checkpoint import load_model
from sbnet.models import IrnNetwork
from sbnet.report import shown_photos
from sbnet.stages.workspace import Workspace

READS = ("scores", "network")
WRITES = ("masks",)

SMALLEST_MAXIMUM = 1e-5  # of walked scores; a photo whose scores all lie on boundaries is background


@dataclass(frozen=True)
class Settings:
    """background_alpha, score_power: background = (1 - max CAM^power)^alpha, as in refine; it walks with the classes.
    background_score: IRN's background instead, against walked scores whose maximum in a photo is 1.
    sharpness: the papers' beta. steps: walk length. The papers' values are 8 and 64 (AffinityNet), 10 and 256 (IRN).
    scale: photo size, relative to the original, at which affinities are taken; more than 1 for small photos.
    crf: refine the walked scores with the dense CRF before the mask is cut.
    """

    background_alpha: float = 16.0
    background_score: float = 0.25
    score_power: float = 1.0
    sharpness: float = 8.0
    steps: int = 64
    scale: float = 1.0
    crf: bool = False


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Write the pseudo mask of every training photo that has none yet."""
    model, _ = load_model(workspace.inputs["network"] / "model.safetensors")
    fabric = workspace.runtime.fabric()
    network = fabric.setup_module(model.eval().to(memory_format=torch.channels_last))
    masks, boundaries = workspace.folder / "masks", workspace.folder / "boundaries"
    shown = {photo.name for photo in shown_photos(workspace.train)}

    @torch.inference_mode()
    def compute(photo: Photo, pixels: np.ndarray) -> Callable[[], None]:
        stored = read_scores(workspace.inputs["scores"] / "scores" / f"{photo.name}.npz")
        foreground = torch.from_numpy(stored.scores).to(fabric.device)
        drawn = None
        if isinstance(model, IrnNetwork):
            boundary = irn_boundary(network, pixels, model=model, scale=settings.scale, device=fabric.device)
            walked = irn_walk(boundary, pixels, foreground, stride=model.output_stride, settings=settings)
            if photo.name in shown:
                drawn = _resize(boundary[None], pixels.shape[:2])[0].cpu().numpy()
        else:
            scores = ops.with_background_score(
                foreground, alpha=settings.background_alpha, power=settings.score_power
            )
            walked = walk(network, pixels, scores, stride=model.output_stride, settings=settings)
        return partial(write, photo, pixels, walked.cpu().numpy(), stored.classes, drawn)

    def write(
        photo: Photo,
        pixels: np.ndarray,
        walked: np.ndarray,
        classes: np.ndarray,
        boundary: np.ndarray | None,
    ) -> None:
        """The mask last: a photo that has it is done."""
        if boundary is not None:
            write_grey(boundaries / f"{photo.name}.png", np.rint(boundary * 255).astype(np.uint8))
        write_label(masks / f"{photo.name}.png", _cut(walked, pixels, classes, settings))

    todo = [photo for photo in workspace.train.photos if not (masks / f"{photo.name}.png").exists()]
    infer_photos("random walk", todo, compute, workers=workspace.runtime.worker_count)
    return {"photos": len(workspace.train.photos)}


def walk(
    network: nn.Module, pixels: np.ndarray, scores: Tensor, *, stride: int, settings: Settings
) -> Tensor:
    """scores (K, H, W), background first -> the same shape after AffinityNet's walk on the network's grid.

    Photo (normalised) and scores are padded with zeros at right and bottom to a multiple of the stride.
    """
    (image,) = views(pixels, network, scales=(settings.scale,), mirror=False, device=scores.device)
    affinity = network(_padded(image, stride)).affinity[0].float()
    size = (image.shape[2], image.shape[3])
    coarse = _pooled(scores, size, stride)
    walked = ops.random_walk(coarse, affinity, sharpness=settings.sharpness, steps=settings.steps)
    return _enlarged(walked, size, stride, pixels)


def irn_boundary(
    network: nn.Module, pixels: np.ndarray, *, model: IrnNetwork, scale: float, device: torch.device
) -> Tensor:
    """Class boundaries of a photo on IRN's grid: (h, w) in [0, 1], the mean of its logits and its mirror image's.

    The photo is padded to a multiple of the coarsest feature's stride, so that the features' cells lie on each other,
    and mirrored then.
    """
    (image,) = views(pixels, network, scales=(scale,), mirror=False, device=device)
    padded = _padded(image, model.backbone.strides[-1])
    logits = unmirror(network(torch.cat([padded, padded.flip(-1)])).boundary.float()) / 2
    height, width = (-(-side // model.output_stride) for side in image.shape[2:])
    return logits[:height, :width].sigmoid()


def irn_walk(
    boundary: Tensor, pixels: np.ndarray, foreground: Tensor, *, stride: int, settings: Settings
) -> Tensor:
    """foreground (K, H, W) -> (K + 1, H, W): the constant background, then the walked scores, their maximum 1."""
    background = foreground.new_full((1, *pixels.shape[:2]), settings.background_score)
    if not len(foreground):
        return background
    height, width = (max(1, round(side * settings.scale)) for side in pixels.shape[:2])
    coarse = _pooled(foreground**settings.score_power, (height, width), stride)
    walked = ops.boundary_walk(coarse, boundary, sharpness=settings.sharpness, steps=settings.steps)
    walked = _enlarged(walked, (height, width), stride, pixels)
    return torch.cat([background, walked / walked.max().clamp(min=SMALLEST_MAXIMUM)])


def _padded(maps: Tensor, stride: int) -> Tensor:
    """(..., H, W) with zeros at right and bottom up to a multiple of the stride."""
    height, width = maps.shape[-2:]
    return functional.pad(maps, (0, -width % stride, 0, -height % stride))


def _pooled(scores: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Scores (K, H, W) on the grid of a photo resized to `size`."""
    return functional.avg_pool2d(_padded(_resize(scores, size), stride)[None], stride)[0]


def _enlarged(walked: Tensor, size: tuple[int, int], stride: int, pixels: np.ndarray) -> Tensor:
    """From that grid back to the photo's own size."""
    full = _resize(walked, (walked.shape[1] * stride, walked.shape[2] * stride))
    return _resize(full[:, : size[0], : size[1]], pixels.shape[:2])


def _resize(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """(K, H, W) to another size, bilinear, as the reference does outside its networks."""
    return functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


def _cut(walked: np.ndarray, pixels: np.ndarray, classes: np.ndarray, settings: Settings) -> np.ndarray:
    """The mask of whole-dataset ids, after the CRF where it is asked for."""
    if settings.crf:
        walked = ops.DenseCRF(pixels).marginals(np.ascontiguousarray(walked, dtype=np.float32))
    return np.concatenate([[0], classes]).astype(np.uint8)[walked.argmax(0)]
