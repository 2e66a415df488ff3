"""Spread the CAMs along the learned affinities, AffinityNet's or IRN's: the pseudo masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet import ops
from sbnet.data import IGNORE
from sbnet.data.collection import Photo
from sbnet.data.dataset import label_files
from sbnet.data.files import Scores, read_scores, write_grey, write_label
from sbnet.data.image import photo_size, read_mask
from sbnet.engine.inference import Batch, OnHost, infer_photos, inference_network, to_device, to_host
from sbnet.engine.parallel import map_unordered
from sbnet.engine.photo_crf import PhotoCRF
from sbnet.engine.progress import photo_progress, work_through
from sbnet.engine.views import stacks, unmirror, views
from sbnet.interop.checkpoint import load_model
from sbnet.models import AffinityNetwork, IrnNetwork
from sbnet.report import shown_photos
from sbnet.stages.workspace import Workspace

READS = ("scores", "network")  # where `masks` names no folder
WRITES = ("masks",)

SMALLEST_MAXIMUM = 1e-5  # of walked scores; a photo whose scores all lie on boundaries is background


@dataclass(frozen=True)
class Settings:
    """background_alpha, score_power: background = (1 - max CAM^power)^alpha, as in refine; it walks with the classes.
    background_score: IRN's background instead, against walked scores whose maximum in a photo is 1.
    sharpness: the papers' beta. steps: walk length. The papers' values are 8 and 64 (AffinityNet), 10 and 256 (IRN).
    scale: photo size, relative to the original, at which affinities are taken; more than 1 for small photos.
    crf: refine the walked scores with the dense CRF before the mask is cut.
    masks: a folder of pseudo masks made elsewhere, NAME.png with class ids or 255, taken instead.
    """

    background_alpha: float = 16.0
    background_score: float = 0.25
    score_power: float = 1.0
    sharpness: float = 8.0
    steps: int = 64
    scale: float = 1.0
    crf: bool = False
    masks: str = ""


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Write the pseudo mask of every training photo that has none yet."""
    if settings.masks:
        return _take_over(Path(settings.masks), workspace)
    network = _Network(workspace)
    masks, boundaries = workspace.folder / "masks", workspace.folder / "boundaries"
    shown = {photo.name for photo in shown_photos(workspace.train)}

    @torch.inference_mode()
    def compute(batch: Batch) -> Sequence[Callable[[], None]]:
        relations = network.relations(batch.views[0])
        writers = []
        for photo, pixels, of_photo, stored in zip(
            batch.photos, batch.pixels, relations, batch.beside, strict=True
        ):
            (walked,) = network.walk(of_photo, pixels, stored, [settings])
            drawn = None
            if network.irn and photo.name in shown:
                drawn = to_host(_resize(of_photo[None], pixels.shape[:2])[0])
            writers.append(partial(write, photo, pixels, to_host(walked), stored.classes, drawn))
        return writers

    def write(
        photo: Photo,
        pixels: np.ndarray,
        walked: OnHost,
        classes: np.ndarray,
        boundary: OnHost | None,
    ) -> None:
        """The mask last: a photo that has it is done."""
        if boundary is not None:
            write_grey(boundaries / f"{photo.name}.png", np.rint(boundary() * 255).astype(np.uint8))
        write_label(masks / f"{photo.name}.png", network.cut(photo, walked(), pixels, classes, settings))

    todo = [photo for photo in workspace.train.photos if not (masks / f"{photo.name}.png").exists()]
    written = infer_photos(
        todo,
        compute,
        runtime=workspace.runtime,
        scales=[settings.scale],
        mirror=network.irn,
        beside=network.stored,
    )
    work_through("random walk", written, len(todo))
    return {"photos": len(workspace.train.photos)}


def _take_over(folder: Path, workspace: Workspace) -> dict[str, Any]:
    """Masks from `folder`, checked against photos and classes; SBNetError at once where a file is missing."""
    photos, classes = workspace.train.photos, len(workspace.train.classes)
    files = dict(zip((photo.name for photo in photos), label_files(folder, workspace.train), strict=True))
    target = workspace.folder / "masks"

    def take(photo: Photo) -> bool:
        mask = read_mask(files[photo.name], classes=classes, size=photo_size(photo.path))
        write_label(target / f"{photo.name}.png", mask)
        return bool((mask == IGNORE).any())

    # All of them, also after an interruption: all are asked whether they leave pixels open.
    done = map_unordered(take, photos, workers=workspace.runtime.worker_count)
    open_masks = sum(photo_progress("take over masks", done, len(photos)))
    return {"photos": len(photos), "masks with open pixels": open_masks}


def variants(settings: Sequence[Settings], workspace: Workspace) -> Callable[[Photo], list[np.ndarray]]:
    """For a sweep: photo -> its mask (H, W) under each of the settings. The network looks once at each scale, and the
    scores against all backgrounds walk side by side.
    """
    network = _Network(workspace)
    groups: dict[Settings, list[int]] = {}
    for index, one in enumerate(settings):
        alike = replace(one, background_alpha=0, background_score=0, score_power=0, crf=False)
        groups.setdefault(alike, []).append(index)

    @torch.inference_mode()
    def masks(photo: Photo) -> list[np.ndarray]:
        pixels = photo.pixels()
        stored = network.stored(photo)
        scales = sorted({one.scale for one in settings})
        looks = map(network.relations, stacks([pixels], scales, device=network.device))
        relations = {scale: look[0] for scale, look in zip(scales, looks, strict=True)}
        found: dict[int, np.ndarray] = {}
        for alike, members in groups.items():
            group = [settings[index] for index in members]
            walked = network.walk(relations[alike.scale], pixels, stored, group)
            for index, one, scores in zip(members, group, walked, strict=True):
                found[index] = network.cut(photo, scores.cpu().numpy(), pixels, stored.classes, one)
        return [found[index] for index in range(len(settings))]

    return masks


class _Network:
    """The trained network, what it says of a photo, the walk along that, and the mask."""

    def __init__(self, workspace: Workspace) -> None:
        model, _ = load_model(workspace.inputs["network"] / "model.safetensors")
        assert isinstance(model, AffinityNetwork | IrnNetwork)
        fabric, self._forward = inference_network(model, workspace.runtime)
        self._model, self.device = model, fabric.device
        self._scores = workspace.inputs["scores"] / "scores"
        self._crf = PhotoCRF(workspace.runtime)
        self.irn = isinstance(model, IrnNetwork)

    def stored(self, photo: Photo) -> Scores:
        """The photo's CAMs."""
        return read_scores(self._scores / f"{photo.name}.npz")

    def relations(self, stack: Tensor) -> Tensor:
        """Photos (B, 3, h', w') uint8 -> affinities (B, P, n), or IRN's boundaries (B, h, w)."""
        if isinstance(self._model, IrnNetwork):
            return irn_boundary(self._forward, stack, model=self._model, device=self.device)
        return photo_affinity(self._forward, stack, stride=self._model.output_stride, device=self.device)

    def walk(
        self, relations: Tensor, pixels: np.ndarray, stored: Scores, settings: Sequence[Settings]
    ) -> list[Tensor]:
        """CAMs (K, H, W) -> (K + 1, H, W), background first, for each of settings that differ in that alone."""
        stride = self._model.output_stride
        foreground = to_device(torch.from_numpy(stored.scores), self.device)
        if self.irn:
            sharpened = [foreground**one.score_power for one in settings]
            walked = irn_walk(relations, pixels, torch.cat(sharpened), stride=stride, settings=settings[0])
            sets = walked.split(len(foreground)) if len(foreground) else [walked] * len(settings)
            return [
                _against_constant(maps, one.background_score)
                for maps, one in zip(sets, settings, strict=True)
            ]
        scores = [
            ops.with_background_score(foreground, alpha=one.background_alpha, power=one.score_power)
            for one in settings
        ]
        walked = walk(relations, pixels, torch.cat(scores), stride=stride, settings=settings[0])
        return list(walked.split(len(foreground) + 1))

    def cut(
        self, photo: Photo, walked: np.ndarray, pixels: np.ndarray, classes: np.ndarray, settings: Settings
    ) -> np.ndarray:
        """The mask of whole-dataset ids, after the CRF where it is asked for."""
        if settings.crf:
            with self._crf.room(photo.path, pixels.shape[:2], labels=len(walked)) as marginals:
                walked = marginals(pixels, np.ascontiguousarray(walked, dtype=np.float32))
        return ops.strongest_labels(walked, classes)


def photo_affinity(network: nn.Module, stack: Tensor, *, stride: int, device: torch.device) -> Tensor:
    """AffinityNet's affinities (B, P, n) of photos (B, 3, h', w') uint8, padded with zeros at right and bottom to a
    multiple of the stride.
    """
    (images,) = views([stack], network, mirror=False, device=device)
    affinity: Tensor = network(_padded(images, stride)).affinity.float()
    return affinity


def walk(affinity: Tensor, pixels: np.ndarray, scores: Tensor, *, stride: int, settings: Settings) -> Tensor:
    """scores (K, H, W) -> the same shape after AffinityNet's walk on the network's grid; padded as the photo was."""
    size = _scaled(pixels, settings.scale)
    coarse = _pooled(scores, size, stride)
    walked = ops.random_walk(coarse, affinity, sharpness=settings.sharpness, steps=settings.steps)
    return _enlarged(walked, size, stride, pixels)


def irn_boundary(network: nn.Module, stack: Tensor, *, model: IrnNetwork, device: torch.device) -> Tensor:
    """Class boundaries of photos (B, 3, h', w') uint8 on IRN's grid: (B, h, w) in [0, 1], of the mean of a photo's
    logits and its mirror image's.

    A photo is padded to a multiple of the coarsest feature's stride, so that the features' cells lie on each other,
    and mirrored then.
    """
    (images,) = views([stack], network, mirror=False, device=device)
    padded = _padded(images, model.backbone.strides[-1])
    logits = network(torch.cat([padded, padded.flip(-1)])).boundary.float()
    height, width = (-(-side // model.output_stride) for side in images.shape[2:])
    return (unmirror(logits, len(images)) / 2)[:, :height, :width].sigmoid()


def irn_walk(
    boundary: Tensor, pixels: np.ndarray, scores: Tensor, *, stride: int, settings: Settings
) -> Tensor:
    """scores (K, H, W) of classes -> the same shape after IRN's walk."""
    if not len(scores):
        return scores
    size = _scaled(pixels, settings.scale)
    coarse = _pooled(scores, size, stride)
    walked = ops.boundary_walk(coarse, boundary, sharpness=settings.sharpness, steps=settings.steps)
    return _enlarged(walked, size, stride, pixels)


def _against_constant(walked: Tensor, background: float) -> Tensor:
    """(K, H, W) -> (K + 1, H, W): the constant background, then the walked scores, their maximum 1."""
    constant = walked.new_full((1, *walked.shape[1:]), background)
    if not len(walked):
        return constant
    return torch.cat([constant, walked / walked.max().clamp(min=SMALLEST_MAXIMUM)])


def _scaled(pixels: np.ndarray, scale: float) -> tuple[int, int]:
    """Height and width at which the network sees the photo."""
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return height, width


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
