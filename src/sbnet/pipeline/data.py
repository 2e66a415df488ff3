"""A run's photos: read (or, for the scenes, made), checked, and their fingerprint."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sbnet.data.datasets.coco.folder import find_list, label_file
from sbnet.data.datasets.collection import Collection
from sbnet.data.io.image import check_photo, pixel_limit
from sbnet.data.io.photo_notes import band_notes, dark_note
from sbnet.data.synthetic.scenes import make_scenes
from sbnet.data.datasets.voc.folder import SOURCES, read_voc
from sbnet.errors import SBNetError
from sbnet.data.datasets.coco.layout import empty_note, make_voc_layout
from sbnet.config.recipe import DataSettings, Recipe

logger = logging.getLogger(__name__)

SAMPLE = 4096  # bytes read from each end of a file


@dataclass(frozen=True)
class RunData:
    """The two lists. fingerprints: what identifies their photos (`train`, `val`) and their true masks (`truth`,
    `val_truth`).
    """

    train: Collection
    val: Collection | None
    fingerprints: dict[str, str]


def open_data(recipe: Recipe, folder: Path) -> RunData:
    """Photos of the recipe's lists, checked for training. Scenes are made in `folder`/data first, and COCO's lists are
    brought into VOC's layout there.

    Raises SBNetError for whatever the readers refuse, a mask of another size than its photo, photos of 16 bits that
    use few of them where it is not said which value is white, an image without class or a class without image.
    """
    settings = recipe.data
    root, labels = Path(settings.root), settings.labels
    if settings.source == "coco":
        root, labels = _from_coco(settings, folder / "data")
    if settings.source == "scenes":
        scenes = settings.scenes
        root = make_scenes(
            folder / "data", train=scenes.train, val=scenes.val, size=scenes.size, seed=scenes.seed
        )
    classes = settings.classes or None
    masks = _mask_folder(settings)
    white = settings.white
    train = read_voc(root, settings.train, labels=labels, classes=classes, masks=masks, white=white)
    val = None
    if settings.val:
        # A label file need not list the val photos: they are measured by their masks.
        labels = labels if labels in SOURCES else "masks"
        val = read_voc(root, settings.val, labels=labels, classes=classes, masks=masks, white=white)
    fingerprints = {}
    for name, truth, photos in (("train", "truth", train), ("val", "val_truth", val)):
        if photos:
            _check_files(photos, limit=_pixel_limit(recipe, train=name == "train"), white=white)
        fingerprints[name] = fingerprint(photos) if photos else ""
        fingerprints[truth] = files_fingerprint(photo.mask for photo in photos or () if photo.mask)
    _check(recipe, train)
    return RunData(train, val, fingerprints)


def _check_files(photos: Collection, *, limit: int, white: float) -> None:
    """From headers and, of photos of more than 8 bits, a look at some: see `open_data`. Bands that are not read are
    told.
    """
    kinds = {
        photo.path: check_photo(photo.path, photo.mask, max_pixels=limit, white=white) for photo in photos
    }
    if not white and (dark := dark_note(kinds, setting="data.white={}")):
        raise SBNetError(f"{photos.name}: {dark}")
    for note in band_notes(kinds):
        logger.warning("%s: %s", photos.name, note)


def _from_coco(settings: DataSettings, folder: Path) -> tuple[Path, str]:
    """COCO's lists as a folder in VOC's layout, and where the image labels come from: COCO's annotations, unless the
    recipe says otherwise.
    """
    for name in dict.fromkeys(filter(None, (settings.train, settings.val))):
        instances, photos = find_list(settings.root, name)
        made = make_voc_layout(instances, photos, folder, name, masks=not settings.masks)
        if made.empty:
            logger.warning("%s: %s", instances, empty_note(made.empty))
    return folder, str(label_file(folder, settings.train)) if settings.labels == "auto" else settings.labels


def _mask_folder(settings: DataSettings) -> str:
    """`data.masks`; for COCO, in whose place the run's own folder is read, as a path where it is a name in `root`."""
    inside = Path(settings.root) / settings.masks
    return str(inside) if settings.source == "coco" and settings.masks and inside.is_dir() else settings.masks


def _pixel_limit(recipe: Recipe, *, train: bool) -> int:
    """Pixels that a photo may have, so that every network which sees it can."""
    predict, infer = recipe.predict, recipe.infer_cam
    limits = [pixel_limit(predict.scales, mirror=predict.mirror)]
    if train and recipe.train_segmenter.labels == "pseudo" and not recipe.random_walk.masks:
        limits.append(pixel_limit(infer.scales, mirror=infer.mirror))
        irn = recipe.train_affinity.method == "irn"  # which sees the mirror image, too
        limits.append(pixel_limit([recipe.random_walk.scale], mirror=irn))
    return min(limits)


def _check(recipe: Recipe, train: Collection) -> None:
    if recipe.train_segmenter.labels == "pseudo":
        train.check_trainable()
        return
    bare = [photo.name for photo in train if photo.mask is None]
    if bare:
        raise SBNetError(
            f"{train.name}: {len(bare)} photos have no mask ('{bare[0]}' is the first), and "
            "train_segmenter.labels is 'truth'; add the masks, or set train_segmenter.labels=pseudo"
        )


def fingerprint(collection: Collection) -> str:
    """Sha256 over class names, photo names, image labels and the photos' files."""
    digest = hashlib.sha256(repr(collection.classes).encode())
    for photo in collection:
        white = (photo.white,) if photo.white else ()
        digest.update(repr((photo.name, photo.classes, *white)).encode())
    digest.update(files_fingerprint(photo.path for photo in collection).encode())
    return digest.hexdigest()


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
                f"{path} cannot be read ({error.strerror}); put the file back or take it off its list"
            ) from error
    return digest.hexdigest()
