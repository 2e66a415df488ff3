"""Masks of the val images from the trained segmenter, without and with CRF; and of the report's training images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import write_label
from sbnet.data.shown import shown_images
from sbnet.engine.crf import PhotoCRF
from sbnet.engine.inference import LoadedImage
from sbnet.engine.predict import SegmenterPredictor
from sbnet.networks.model_file import load_model
from sbnet.ops import strongest_labels
from sbnet.steps.context import Context
from sbnet.steps.settings import PredictSettings, dense_crf
from sbnet.work.progress import work_through


def run(settings: PredictSettings, context: Context) -> dict[str, Any]:
    """Write the masks of every val image that has none yet, and of the report's training images."""
    model, _ = load_model(context.inputs["network"])
    predictor = SegmenterPredictor(
        model, runtime=context.runtime, scales=settings.scales, mirror=settings.mirror
    )
    crf = PhotoCRF(context.runtime)
    masks, refined, shown = (context.folder / name for name in ("masks", "masks_crf", "train_masks"))
    last = refined if settings.crf else masks  # an image that has this one is done

    def write(folder: Path, image: LoadedImage, probabilities: np.ndarray) -> None:
        name = f"{image.photo.name}.png"
        write_label(folder / name, strongest_labels(probabilities))
        if settings.crf and folder == masks:
            write_label(refined / name, crf_mask(crf, image, probabilities, settings))

    def predict(title: str, images: Sequence[Photo], done: Path, folder: Path) -> None:
        todo = [photo for photo in images if not (done / f"{photo.name}.png").exists()]
        work_through(title, predictor.infer(todo, partial(write, folder)), len(todo))

    images = context.val.photos if context.val else ()
    predict("predict", images, last, masks)
    predict("predict the report's images", shown_images(context.train), shown, shown)
    return {"images": len(images)}


def crf_mask(
    crf: PhotoCRF, image: LoadedImage, probabilities: np.ndarray, settings: PredictSettings
) -> np.ndarray:
    """(C, H, W) probabilities -> the mask (H, W) uint8 after the CRF. Raises SBNetError as `PhotoCRF.room` does."""
    with crf.room(image.photo.path, image.size, labels=len(probabilities)) as marginals:
        return strongest_labels(marginals(image.pixels, probabilities, **dense_crf(settings)))
