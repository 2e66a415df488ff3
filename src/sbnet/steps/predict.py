"""Masks of the val photos from the trained segmenter, without and with CRF; and of the report's training photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import write_label
from sbnet.engine.photo_crf import PhotoCRF
from sbnet.engine.predict import SegmenterPredictor
from sbnet.work.progress import work_through
from sbnet.engine.model_file import load_model
from sbnet.ops import strongest_labels
from sbnet.report import shown_photos
from sbnet.steps.workspace import Workspace

READS = ("network",)
WRITES = ("masks", "masks_crf", "train_masks")


@dataclass(frozen=True)
class Settings:
    """crf: a second set of masks after the dense CRF (DeepLab v2's settings: gaussian (sxy, weight),
    bilateral (sxy, srgb, weight)). scales, mirror: test-time views whose probabilities are averaged.
    """

    crf: bool = True
    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False
    iterations: int = 10
    gaussian: tuple[float, float] = (1.0, 3.0)
    bilateral: tuple[float, float, float] = (67.0, 3.0, 4.0)


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Write the masks of every val photo that has none yet, and of the report's training photos."""
    model, _ = load_model(workspace.inputs["network"] / "model.safetensors")
    predictor = SegmenterPredictor(
        model, runtime=workspace.runtime, scales=settings.scales, mirror=settings.mirror
    )
    crf = PhotoCRF(workspace.runtime)
    masks, refined, shown = (workspace.folder / name for name in ("masks", "masks_crf", "train_masks"))
    last = refined if settings.crf else masks  # a photo that has this one is done

    def write(folder: Path, photo: Photo, pixels: np.ndarray, probabilities: np.ndarray) -> None:
        write_label(folder / f"{photo.name}.png", strongest_labels(probabilities))
        if settings.crf and folder == masks:
            mask = crf_mask(crf, photo, pixels, probabilities, settings)
            write_label(refined / f"{photo.name}.png", mask)

    def predict(title: str, photos: Sequence[Photo], folder: Path) -> None:
        work_through(title, predictor.infer(photos, partial(write, folder)), len(photos))

    photos = workspace.val.photos if workspace.val else ()
    predict("predict", [photo for photo in photos if not (last / f"{photo.name}.png").exists()], masks)
    bare = [photo for photo in shown_photos(workspace.train) if not (shown / f"{photo.name}.png").exists()]
    predict("predict report photos", bare, shown)
    return {"photos": len(photos)}


def crf_mask(
    crf: PhotoCRF, photo: Photo, pixels: np.ndarray, probabilities: np.ndarray, settings: Settings
) -> np.ndarray:
    """(C, H, W) probabilities -> the mask (H, W) uint8 after the CRF. Raises SBNetError as `PhotoCRF.room` does."""
    kernels = {"gaussian": settings.gaussian, "bilateral": settings.bilateral}
    with crf.room(photo.path, pixels.shape[:2], labels=len(probabilities)) as marginals:
        return strongest_labels(marginals(pixels, probabilities, iterations=settings.iterations, **kernels))
