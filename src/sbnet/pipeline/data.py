"""A run's images: opened by their data set's reader, checked, and their fingerprint."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sbnet.config.recipe import Recipe
from sbnet.data.datasets.collection import Collection
from sbnet.data.io.image import check_photo, pixel_limit
from sbnet.data.io.photo_notes import band_notes, dark_note
from sbnet.errors import SBNetError
from sbnet.pipeline.graph import Step
from sbnet.registry import DATASETS
from sbnet.steps.spec import Images

logger = logging.getLogger(__name__)

SAMPLE = 4096  # bytes read from each end of a file


class Fingerprint(NamedTuple):
    """What identifies a list's images, and their ground truth."""

    images: str
    truth: str


@dataclass(frozen=True)
class RunData:
    train: Collection
    val: Collection | None
    fingerprints: dict[Images, Fingerprint]


def open_data(recipe: Recipe, folder: Path, steps: Sequence[Step]) -> RunData:
    """Images of the recipe's lists, checked for what the steps do with them. What a reader makes goes to `folder`/data.

    Raises SBNetError for whatever the reader refuses, a mask of another size than its image, images of 16 bits that use
    few of them where it is not said which value is white, an image without class or a class without image.
    """
    settings = recipe.data.settings
    train, val = DATASETS[recipe.data.name].open(settings, work=folder / "data")
    lists: dict[Images, Collection] = {"train": train}
    if val is not None:
        lists["val"] = val
    for name, images in lists.items():
        _check_files(images, limit=_pixel_limit(steps, name), white=settings.white_level)
    _check_labels(steps, train)
    return RunData(train, val, {name: _fingerprint(images) for name, images in lists.items()})


def _check_files(images: Collection, *, limit: int, white: float) -> None:
    """From headers and, of images of more than 8 bits, a look at some: see `open_data`."""
    kinds = {
        image.path: check_photo(image.path, image.mask, max_pixels=limit, white=white) for image in images
    }
    if not white and (dark := dark_note(kinds, setting="data.white_level={}")):
        raise SBNetError(f"{images.name}: {dark}")
    for note in band_notes(kinds):
        logger.warning("%s: %s", images.name, note)


def _pixel_limit(steps: Sequence[Step], images: Images) -> int:
    """Pixels that an image may have, so that every network that sees it can. The report's training images are seen by
    the steps of the val images too.
    """
    inferred = [step.spec for step in steps if step.spec.network and not step.spec.trains]
    seen = [spec for spec in inferred if images in ("train", spec.images)]
    return min(pixel_limit(spec.views[0], mirror=spec.views[1]) for spec in seen)


def _check_labels(steps: Sequence[Step], train: Collection) -> None:
    key = next((f"{step.spec.key}.{step.spec.truth}" for step in steps if step.spec.truth), None)
    if key is None:
        train.check_trainable()
    elif bare := [image.name for image in train if image.mask is None]:
        raise SBNetError(
            f"{train.name}: {len(bare)} images have no mask ('{bare[0]}' is the first), and {key} asks for the ground "
            f"truth; add the masks, or choose other {key}"
        )


def _fingerprint(collection: Collection) -> Fingerprint:
    """Of the images: sha256 over class names, image names, image labels and files."""
    digest = hashlib.sha256(repr(collection.classes).encode())
    for image in collection:
        white = (image.white,) if image.white else ()
        digest.update(repr((image.name, image.classes, *white)).encode())
    digest.update(files_fingerprint(image.path for image in collection).encode())
    truth = files_fingerprint(image.mask for image in collection if image.mask)
    return Fingerprint(digest.hexdigest(), truth)


def files_fingerprint(paths: Iterable[Path]) -> str:
    """Sha256 over each file's size and both ends. Neither place nor time counts: runs and data can move."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(0)
                digest.update(f"{size} ".encode() + file.read(SAMPLE))
                file.seek(max(SAMPLE, size - SAMPLE))
                digest.update(file.read(SAMPLE))
        except OSError as error:
            raise SBNetError(
                f"{path} cannot be read ({error.strerror}); put the file back or remove it from its list"
            ) from error
    return digest.hexdigest()
