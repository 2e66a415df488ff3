"""Take over class score maps and masks, checked against the images and their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sbnet.compat.cams import find_cam, read_any_cam
from sbnet.data import IGNORE
from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import write_label, write_scores
from sbnet.data.io.image import read_mask
from sbnet.data.training.dataset import label_files
from sbnet.methods.files import FolderSettings
from sbnet.steps.context import Context
from sbnet.steps.spec import UNKNOWN
from sbnet.work.parallel import map_unordered
from sbnet.work.progress import photo_progress, work_through


def take_scores(settings: FolderSettings, context: Context) -> dict[str, Any]:
    """Raises SBNetError at once where a file is missing."""
    files = {image.name: find_cam(Path(settings.folder), image.name) for image in context.train}
    target = context.folder / "scores"

    def take(image: Photo) -> None:
        found = read_any_cam(files[image.name], size=image.size(), classes=image.classes)
        write_scores(target / f"{image.name}.npz", found.scores, found.classes)

    todo = [image for image in context.train if not (target / f"{image.name}.npz").exists()]
    work_through("copy CAMs", map_unordered(take, todo, workers=context.runtime.worker_count), len(todo))
    return {"images": len(context.train)}


def take_masks(settings: FolderSettings, context: Context) -> dict[str, Any]:
    """Raises SBNetError at once where a file is missing."""
    images, classes = context.train.photos, len(context.train.classes)
    files = dict(
        zip((image.name for image in images), label_files(Path(settings.folder), context.train), strict=True)
    )
    target = context.folder / "masks"

    def take(image: Photo) -> bool:
        mask = read_mask(files[image.name], classes=classes, size=image.size())
        write_label(target / f"{image.name}.png", mask)
        return bool((mask == IGNORE).any())

    # All of them, also after an interruption: each is asked whether it leaves pixels unknown.
    done = map_unordered(take, images, workers=context.runtime.worker_count)
    unknown = sum(photo_progress("copy masks", done, len(images)))
    return {"images": len(images), UNKNOWN: unknown}
