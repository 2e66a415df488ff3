"""Blur class score maps and cut masks out of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import read_scores, write_label
from sbnet.ops import strongest_labels
from sbnet.steps.context import Context
from sbnet.work.parallel import map_unordered
from sbnet.work.progress import work_through
from sbnet_toy.blur import BlurSettings


def mask(image: Photo, settings: BlurSettings, context: Context) -> np.ndarray:
    stored = read_scores(context.inputs["scores"] / f"{image.name}.npz")
    blurred = gaussian_filter(stored.scores, (0, settings.width, settings.width))
    background = np.full_like(blurred[:1], settings.background)
    return strongest_labels(np.concatenate([background, blurred]), stored.classes)


def run(settings: BlurSettings, context: Context) -> dict[str, Any]:
    masks = context.folder / "masks"

    def write(image: Photo) -> None:
        write_label(masks / f"{image.name}.png", mask(image, settings, context))

    todo = [image for image in context.train if not (masks / f"{image.name}.png").exists()]
    done = map_unordered(write, todo, workers=context.runtime.worker_count)
    work_through("toy blur", done, len(todo))
    return {"images": len(context.train)}


def variants(settings: Sequence[BlurSettings], context: Context) -> Callable[[Photo], list[np.ndarray]]:
    return lambda image: [mask(image, one, context) for one in settings]
