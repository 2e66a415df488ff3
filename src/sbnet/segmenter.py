"""A trained segmenter and its results on images. H x W pixels, C classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import atomic_write, write_label
from sbnet.data.io.image import MAX_PIXELS, read_photo
from sbnet.data.io.named_files import find_photos
from sbnet.data.io.palette import PALETTE, overlay
from sbnet.data.io.photo_kind import check_white
from sbnet.data.io.photo_notes import tell_of_photos
from sbnet.engine.crf import PhotoCRF
from sbnet.engine.inference import Failure, LoadedImage, Told, tried, without_failures
from sbnet.engine.predict import SegmenterPredictor
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.ops import strongest_labels
from sbnet.steps.predict import crf_mask
from sbnet.steps.settings import PredictSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Used = TypeVar("Used")
Images = str | Path | np.ndarray | Iterable[str | Path | np.ndarray]
COLUMNS = 4  # pictures a row of Result.plot
EMPTY = 0.01  # share of a mask's pixels that are of a class, below which it counts as empty


@dataclass(frozen=True)
class Result:
    """Of each image its name, the image (a path, or the array (H, W, 3) uint8 as given) and its mask (H, W) uint8.
    classes: names by class id. white: see `Segmenter`.
    """

    names: list[str]
    images: list[Path | np.ndarray]
    masks: list[np.ndarray]
    classes: tuple[str, ...]
    white: float = 0

    def __len__(self) -> int:
        return len(self.masks)

    def save(self, folder: str | Path, *, overlays: bool = True) -> Path:
        """Write `NAME.png` (VOC's palette) and optionally `overlays/NAME.jpg` into `folder`.

        Raises SBNetError where one of the images is in such a folder.
        """
        folder = Path(folder)
        _check_target(folder, self.images, overlays=overlays)
        for name, image, mask in zip(self.names, self.images, self.masks, strict=True):
            _save(folder, name, _pixels(image, self.white), mask, overlays=overlays)
        return folder

    def plot(self) -> Figure:
        """A matplotlib figure of the images overlaid with their masks, titled by the classes found; a legend."""
        from matplotlib.figure import Figure  # loads only when something is drawn
        from matplotlib.patches import Patch

        columns = max(1, min(COLUMNS, len(self)))
        rows = max(1, -(-len(self) // columns))
        figure = Figure(figsize=(4 * columns, 3.4 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, name, image, mask in zip(axes, self.names, self.images, self.masks, strict=False):
            axis.imshow(overlay(_pixels(image, self.white), mask))
            found = [self.classes[index] for index in self._found([mask])]
            axis.set_title(f"{name}: {', '.join(found) or 'nothing found'}", fontsize=9)
        ids = self._found(self.masks)
        if ids:
            colors = [Patch(color=tuple(PALETTE[index] / 255), label=self.classes[index]) for index in ids]
            figure.legend(handles=colors, loc="outside lower center", ncols=2 * columns, fontsize=9)
        return figure

    def _found(self, masks: Sequence[np.ndarray]) -> list[int]:
        """Ids of the classes, without background, in any of the masks."""
        ids = {int(index) for mask in masks for index in np.unique(mask)}
        return [index for index in sorted(ids) if 0 < index < len(self.classes)]


class Segmenter:
    """The segmenter of a run: images in, masks out. classes: names by class id. settings: views, CRF.

    white: the value that is white in images of more than 8 bits or of floats, 0 for the largest that the format has.
    """

    def __init__(
        self,
        model: Any,
        classes: Sequence[str],
        *,
        settings: PredictSettings | None = None,
        runtime: Runtime | None = None,
        white: float = 0,
    ) -> None:
        check_white(white)
        self.classes, self.settings, self.white = tuple(classes), settings or PredictSettings(), white
        self._runtime = runtime or Runtime()
        self._predictor = SegmenterPredictor(
            model, runtime=self._runtime, scales=self.settings.scales, mirror=self.settings.mirror
        )

    def mask(self, image: np.ndarray, *, crf: bool = False) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) uint8 class ids; `crf` sharpens the outlines with the dense CRF.

        Raises SBNetError for anything else than such an array, and for more pixels than memory is planned for or holds.
        """
        _check_array(image)
        return self.predict(image, crf=crf).masks[0]

    def predict(self, images: Images, *, crf: bool = False) -> Result:
        """Masks of images: files, folders, arrays (H, W, 3) uint8, or a list of them.

        Raises SBNetError for an image that cannot be read. All masks are held in memory; use `predict_folder` for many.
        """
        sources, photos = _collect(images, self.white)
        masks = dict(self._infer(photos, lambda image, mask: (image.photo.name, mask), crf=crf))
        names = [photo.name for photo in photos]
        return Result(names, sources, [masks[name] for name in names], self.classes, self.white)

    def predict_folder(
        self,
        images: str | Path | Sequence[str | Path],
        folder: str | Path,
        *,
        crf: bool = False,
        overlays: bool = True,
        failed: Callable[[Path, SBNetError], None],
        empty: Callable[[Path], None] | None = None,
    ) -> Iterator[Path]:
        """Write `NAME.png` (and `overlays/NAME.jpg`) for each image; gives each mask's path once it is written. Those of
        images of the same size may come together.

        failed: called for each image that cannot be read or is too large for the CRF; the others continue. empty: called
        with each mask of which less than a hundredth is not background.
        """
        sources, photos = _collect(images, self.white)
        folder = Path(folder)
        _check_target(folder, sources, overlays=overlays)

        def write(image: LoadedImage, mask: np.ndarray) -> tuple[Path, bool]:
            path = _save(folder, image.photo.name, image.pixels, mask, overlays=overlays)
            return path, bool((mask != 0).mean() < EMPTY)

        def told(done: tuple[Path, bool]) -> Path:
            path, is_empty = done
            if is_empty and empty:
                empty(path)
            return path

        done = self._infer(photos, write, crf=crf, failed=lambda photo, error: failed(photo.path, error))
        return map(told, done)

    def _infer(
        self,
        photos: Sequence[Photo],
        use: Callable[[LoadedImage, np.ndarray], Used],
        *,
        crf: bool,
        failed: Told | None = None,
    ) -> Iterator[Used]:
        """What `use(image, mask)` returns for each image; those too large for the CRF are `failed`, too."""
        files = [photo.path for photo in photos if not isinstance(photo, _InMemory)]
        tell_of_photos(
            files, white=self.white, setting="--white-level {0} (sbnet.load(..., white_level={0}))"
        )
        refinement = PhotoCRF(self._runtime) if crf else None

        def finish(image: LoadedImage, probabilities: np.ndarray) -> Used | Failure:
            if refinement is None:
                return use(image, strongest_labels(probabilities))
            mask = tried(image.photo, partial(crf_mask, refinement, image, probabilities, self.settings))
            return mask if isinstance(mask, Failure) else use(image, mask)

        return without_failures(self._predictor.infer(photos, finish, failed=failed), failed)


@dataclass(frozen=True, eq=False, kw_only=True)
class _InMemory(Photo):
    """An image that is no file. array: (H, W, 3) uint8 RGB. path: its name, for messages."""

    array: np.ndarray

    def pixels(self, *, max_pixels: int = MAX_PIXELS, needed: tuple[int, int] | None = None) -> np.ndarray:
        height, width = self.size()
        if height * width > max_pixels:
            raise SBNetError(
                f"{self.name}: {width} x {height} pixels exceed the limit of {max_pixels}: make it smaller, or "
                "lower the scales at which the network sees it"
            )
        return self.array

    def size(self) -> tuple[int, int]:
        return self.array.shape[0], self.array.shape[1]


def _collect(given: Images, white: float) -> tuple[list[Path | np.ndarray], list[Photo]]:
    """The images as they were given, and as the network takes them; their names differ."""
    images = [given] if isinstance(given, (str, Path, np.ndarray)) else list(given)
    files = [image for image in images if isinstance(image, (str, Path))]
    if len(files) == len(images):
        found = find_photos(files)
        return list(found), [Photo(path.stem, path, white=white) for path in found]
    if files:
        raise SBNetError("give either files and folders or arrays, not both at once")
    photos: list[Photo] = []
    for number, image in enumerate(images, start=1):
        array, name = np.asarray(image), f"image_{number:04}"
        _check_array(array)
        photos.append(_InMemory(name, Path(name), array=array))
    return [np.asarray(image) for image in images], photos


def _check_array(image: np.ndarray) -> None:
    if not isinstance(image, np.ndarray):
        raise SBNetError(f"expected an array, not {image!r}; `predict` takes files")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise SBNetError(f"expected an image (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")


def _pixels(image: Path | np.ndarray, white: float) -> np.ndarray:
    return read_photo(image, white=white) if isinstance(image, Path) else image


def _check_target(folder: Path, sources: Sequence[Path | np.ndarray], *, overlays: bool) -> None:
    targets = {folder.resolve()} | ({(folder / "overlays").resolve()} if overlays else set())
    for source in sources:
        if isinstance(source, Path) and {source.resolve().parent, source.parent.resolve()} & targets:
            raise SBNetError(
                f"{source} is in the folder to which masks or overlays would be written, where they would mix with "
                "images; choose another folder"
            )


def _save(folder: Path, name: str, pixels: np.ndarray, mask: np.ndarray, *, overlays: bool) -> Path:
    path = folder / f"{name}.png"
    write_label(path, mask)
    if overlays:
        with atomic_write(folder / "overlays" / f"{name}.jpg") as file:
            Image.fromarray(overlay(pixels, mask)).save(file, "jpeg", quality=90)
    return path
