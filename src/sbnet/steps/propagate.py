"""Spread the CAMs along the learned affinities, AffinityNet's or IRN's: the pseudo masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sbnet import ops
from sbnet.data import IGNORE
from sbnet.data.datasets.collection import Photo
from sbnet.data.training.dataset import label_files
from sbnet.data.io.files import Scores, read_scores, write_grey, write_label
from sbnet.data.io.image import photo_size, read_mask
from sbnet.engine.inference import Batch, OnHost, infer_photos, inference_network, to_device, to_host
from sbnet.work.parallel import map_unordered
from sbnet.engine.crf import PhotoCRF
from sbnet.work.progress import photo_progress, work_through
from sbnet.engine.views import stacks
from sbnet.engine.walks import interpolated, irn_boundary, photo_affinity, walk_on_grid
from sbnet.engine.model_file import load_model
from sbnet.methods.affinitynet.network import AffinityNetwork
from sbnet.methods.irn.network import IrnNetwork
from sbnet.report import shown_photos
from sbnet.steps.variants import alike
from sbnet.steps.workspace import Workspace

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
            (walked,) = network.walk(of_photo, stored, [settings])
            drawn = None
            if network.irn and photo.name in shown:
                drawn = to_host(interpolated(of_photo[None], pixels.shape[:2])[0])
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
    groups = alike(settings, background_alpha=0, background_score=0, score_power=0, crf=False)

    @torch.inference_mode()
    def masks(photo: Photo) -> list[np.ndarray]:
        pixels = photo.pixels()
        stored = network.stored(photo)
        scales = sorted({one.scale for one in settings})
        looks = map(network.relations, stacks([pixels], scales, device=network.device))
        relations = {scale: look[0] for scale, look in zip(scales, looks, strict=True)}
        found: dict[int, np.ndarray] = {}
        for shared, members in groups.items():
            group = [settings[index] for index in members]
            walked = network.walk(relations[shared.scale], stored, group)
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

    def walk(self, relations: Tensor, stored: Scores, settings: Sequence[Settings]) -> list[Tensor]:
        """CAMs (K, H, W) -> (K + 1, H, W), background first, for each of settings that differ in that alone."""
        foreground = to_device(torch.from_numpy(stored.scores), self.device)
        if self.irn:
            sets = [foreground**one.score_power for one in settings]
        else:
            sets = [
                ops.with_background_score(foreground, alpha=one.background_alpha, power=one.score_power)
                for one in settings
            ]
        together = self._walked(relations, torch.cat(sets), settings[0])
        walked = together.unflatten(0, (len(settings), -1)) if len(together) else torch.stack(sets)
        if not self.irn:
            return list(walked)
        return [
            _against_constant(maps, one.background_score) for maps, one in zip(walked, settings, strict=True)
        ]

    def _walked(self, relations: Tensor, scores: Tensor, settings: Settings) -> Tensor:
        one_walk = ops.boundary_walk if self.irn else ops.random_walk

        def walk(coarse: Tensor) -> Tensor:
            return one_walk(coarse, relations, sharpness=settings.sharpness, steps=settings.steps)

        return walk_on_grid(walk, scores, stride=self._model.output_stride, scale=settings.scale)

    def cut(
        self, photo: Photo, walked: np.ndarray, pixels: np.ndarray, classes: np.ndarray, settings: Settings
    ) -> np.ndarray:
        """The mask of whole-dataset ids, after the CRF where it is asked for."""
        if settings.crf:
            with self._crf.room(photo.path, pixels.shape[:2], labels=len(walked)) as marginals:
                walked = marginals(pixels, np.ascontiguousarray(walked, dtype=np.float32))
        return ops.strongest_labels(walked, classes)


def _against_constant(walked: Tensor, background: float) -> Tensor:
    """(K, H, W) -> (K + 1, H, W): the constant background, then the walked scores, their maximum 1."""
    constant = walked.new_full((1, *walked.shape[1:]), background)
    if not len(walked):
        return constant
    return torch.cat([constant, walked / walked.max().clamp(min=SMALLEST_MAXIMUM)])
