"""Masks of the measuring photos from the trained segmenter, without and with CRF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sbnet.data.collection import Photo
from sbnet.data.files import write_label
from sbnet.engine.inference import infer_photos
from sbnet.engine.predict import SegmenterPredictor
from sbnet.interop.checkpoint import load_model
from sbnet.ops import DenseCRF
from sbnet.stages.workspace import Workspace

READS = ("network",)


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
    if workspace.val is None:
        return {"photos": 0}
    model, _ = load_model(workspace.inputs["network"] / "model.safetensors")
    predictor = SegmenterPredictor(
        model, runtime=workspace.runtime, scales=settings.scales, mirror=settings.mirror
    )
    folders = [workspace.folder / "masks"] + [workspace.folder / "masks_crf"] * settings.crf
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)

    def compute(photo: Photo, pixels: np.ndarray) -> Callable[[], None]:
        probabilities = predictor.probabilities(pixels)

        def write() -> None:
            write_label(folders[0] / f"{photo.name}.png", probabilities.argmax(0).astype(np.uint8))
            if settings.crf:
                refined = apply_crf(pixels, probabilities, settings)
                write_label(folders[1] / f"{photo.name}.png", refined.argmax(0).astype(np.uint8))

        return write

    todo = [photo for photo in workspace.val.photos if not (folders[-1] / f"{photo.name}.png").exists()]
    infer_photos("predict", todo, compute, workers=workspace.runtime.worker_count)
    return {"photos": len(workspace.val.photos)}


def apply_crf(pixels: np.ndarray, probabilities: np.ndarray, settings: Settings) -> np.ndarray:
    """(C, H, W) probabilities -> CRF marginals of the same shape."""
    crf = DenseCRF(pixels, gaussian=settings.gaussian, bilateral=settings.bilateral)
    return crf.marginals(probabilities, iterations=settings.iterations)
