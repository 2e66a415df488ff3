"""A trained segmenter and its results on photos. H x W pixels, C classes."""

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
from sbnet.data.io.palette import PALETTE, overlay
from sbnet.data.io.photo_kind import check_white
from sbnet.data.io.photo_notes import tell_of_photos
from sbnet.engine.inference import Failure, Told, tried, without_failures
from sbnet.engine.photo_crf import PhotoCRF
from sbnet.engine.predict import SegmenterPredictor
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.ops import strongest_labels
from sbnet.photo_files import find_photos
from sbnet.steps.predict import Settings, crf_mask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Used = TypeVar("Used")
Photos = str | Path | np.ndarray | Iterable[str | Path | np.ndarray]
COLUMNS = 4  # pictures a row of Result.plot
EMPTY = 0.01  # share of a mask's pixels that are of a class, below which it shows next to nothing


@dataclass(frozen=True)
class Result:
    """names, photos (paths, or arrays (H, W, 3) uint8 as given) and masks (H, W) uint8, one each a photo;
    classes: names by class id. white: see `Segmenter`.
    """

    names: list[str]
    photos: list[Path | np.ndarray]
    masks: list[np.ndarray]
    classes: tuple[str, ...]
    white: float = 0

    def __len__(self) -> int:
        return len(self.masks)

    def save(self, folder: str | Path, *, overlays: bool = True) -> Path:
        """Write `NAME.png` (VOC's palette) and, by choice, `overlays/NAME.jpg` into `folder`.

        Raises SBNetError where one of the photos is in such a folder.
        """
        _check_target(Path(folder), self.photos, overlays=overlays)
        for name, photo, mask in zip(self.names, self.photos, self.masks, strict=True):
            _save(Path(folder), name, _pixels(photo, self.white), mask, overlays=overlays)
        return Path(folder)

    def plot(self) -> Figure:
        """A matplotlib figure of the photos with their masks laid over, titled by the classes found; their colours."""
        from matplotlib.figure import Figure  # loads only when something is drawn
        from matplotlib.patches import Patch

        columns = max(1, min(COLUMNS, len(self)))
        rows = max(1, -(-len(self) // columns))
        figure = Figure(figsize=(4 * columns, 3.4 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, name, photo, mask in zip(axes, self.names, self.photos, self.masks, strict=False):
            axis.imshow(overlay(_pixels(photo, self.white), mask))
            found = [self.classes[index] for index in self._found([mask])]
            axis.set_title(f"{name}: {', '.join(found) or 'nothing found'}", fontsize=9)
        colours = [
            Patch(color=PALETTE[index] / 255, label=self.classes[index]) for index in self._found(self.masks)
        ]
        if colours:
            figure.legend(handles=colours, loc="outside lower center", ncols=2 * columns, fontsize=9)
        return figure

    def _found(self, masks: Sequence[np.ndarray]) -> list[int]:
        """Ids of the classes, without background, in any of the masks."""
        ids = {int(index) for mask in masks for index in np.unique(mask)}
        return [index for index in sorted(ids) if 0 < index < len(self.classes)]


class Segmenter:
    """The segmenter of a run: photos in, masks out. classes: names by class id. settings: views, CRF.

    white: the value that is white in photos of more than 8 bits or of floats, 0 for the largest that the format has.
    """

    def __init__(
        self,
        model: Any,
        classes: Sequence[str],
        *,
        settings: Settings | None = None,
        runtime: Runtime | None = None,
        white: float = 0,
    ) -> None:
        self.classes, self.settings, self.white = tuple(classes), settings or Settings(), white
        check_white(white)
        scales, mirror = self.settings.scales, self.settings.mirror
        self._runtime = runtime or Runtime()
        self._predictor = SegmenterPredictor(model, runtime=self._runtime, scales=scales, mirror=mirror)

    def mask(self, photo: np.ndarray, *, crf: bool = False) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) uint8 class ids; `crf` sharpens the outlines with the dense CRF.

        Raises SBNetError for what is no such array, and for more pixels than memory is planned for or holds.
        """
        _check_array(photo)
        return self.predict(photo, crf=crf).masks[0]

    def predict(self, photos: Photos, *, crf: bool = False) -> Result:
        """Masks of photos: files, folders, arrays (H, W, 3) uint8, or a list of them.

        Raises SBNetError for a photo that cannot be read. All masks are held in memory;
        `predict_folder` is for many.
        """
        sources, listed = _collect(photos, self.white)
        masks = dict(self._infer(listed, lambda photo, _, mask: (photo.name, mask), crf=crf))
        names = [photo.name for photo in listed]
        return Result(names, sources, [masks[name] for name in names], self.classes, self.white)

    def predict_folder(
        self,
        photos: str | Path | Sequence[str | Path],
        folder: str | Path,
        *,
        crf: bool = False,
        overlays: bool = True,
        failed: Callable[[Path, SBNetError], None],
        empty: Callable[[Path], None] | None = None,
    ) -> Iterator[Path]:
        """Write `NAME.png` (and `overlays/NAME.jpg`) for each photo; gives each mask's path once written: in the order
        of the photos on the CPU, those of one size together on a GPU.

        A photo that cannot be read, or is too large for the CRF, is told to `failed` and passed over; the path of a
        mask that is background but for less than a hundredth to `empty`, too. Photos are read, and masks of those
        before refined and written, while the network looks at others.
        """
        sources, listed = _collect(photos, self.white)
        folder = Path(folder)
        _check_target(folder, sources, overlays=overlays)

        def write(photo: Photo, pixels: np.ndarray, mask: np.ndarray) -> tuple[Path, bool]:
            path = _save(folder, photo.name, pixels, mask, overlays=overlays)
            return path, bool((mask != 0).mean() < EMPTY)

        done = self._infer(listed, write, crf=crf, failed=lambda photo, error: failed(photo.path, error))

        def paths() -> Iterator[Path]:
            for path, is_empty in done:
                if is_empty and empty:
                    empty(path)
                yield path

        return paths()

    def _infer(
        self,
        photos: Sequence[Photo],
        use: Callable[[Photo, np.ndarray, np.ndarray], Used],
        *,
        crf: bool,
        failed: Told | None = None,
    ) -> Iterator[Used]:
        """What `use(photo, pixels, mask)` gives for each photo; see `SegmenterPredictor.infer`. `failed` is told of
        photos too large for the CRF, too. Warns of files whose bands are not all read, or that are dark as most of
        their bits are not used.
        """
        files = [photo.path for photo in photos if not isinstance(photo, _PhotoInMemory)]
        tell_of_photos(files, white=self.white, setting="--white {0} (sbnet.load(..., white={0}))")
        refinement = PhotoCRF(self._runtime) if crf else None

        def finish(photo: Photo, pixels: np.ndarray, probabilities: np.ndarray) -> Used | Failure:
            if refinement is None:
                return use(photo, pixels, strongest_labels(probabilities))
            mask = tried(photo, partial(crf_mask, refinement, photo, pixels, probabilities, self.settings))
            return mask if isinstance(mask, Failure) else use(photo, pixels, mask)

        return without_failures(self._predictor.infer(photos, finish, failed=failed), failed)


@dataclass(frozen=True, eq=False, kw_only=True)
class _PhotoInMemory(Photo):
    """A photo that is no file. array: (H, W, 3) uint8 RGB. path: its name, for messages."""

    array: np.ndarray

    def pixels(self, *, max_pixels: int = MAX_PIXELS, needed: tuple[int, int] | None = None) -> np.ndarray:
        height, width = self.size()
        if height * width > max_pixels:
            raise SBNetError(
                f"{self.name}: {width} x {height} pixels exceed the bound of {max_pixels}: make it smaller, or "
                "lower the scales at which the network sees it"
            )
        return self.array

    def size(self) -> tuple[int, int]:
        height, width = self.array.shape[:2]
        return height, width


def _collect(given: Photos, white: float) -> tuple[list[Path | np.ndarray], list[Photo]]:
    """The photos as they were given, and as the network takes them; their names differ."""
    photos = [given] if isinstance(given, (str, Path, np.ndarray)) else list(given)
    files = [photo for photo in photos if isinstance(photo, (str, Path))]
    if len(files) == len(photos):
        found = find_photos(files)
        return list(found), [Photo(path.stem, path, white=white) for path in found]
    if files:
        raise SBNetError("give either files and folders or arrays, not both at once")
    arrays = [np.asarray(photo) for photo in photos]
    for array in arrays:
        _check_array(array)
    names = [f"photo_{number:04}" for number in range(1, len(arrays) + 1)]
    in_memory = zip(names, arrays, strict=True)
    return list(arrays), [_PhotoInMemory(name, Path(name), array=array) for name, array in in_memory]


def _check_array(photo: np.ndarray) -> None:
    if not isinstance(photo, np.ndarray):
        raise SBNetError(f"a photo is an array here, not {photo!r}; `predict` takes files")
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or not photo.size:
        raise SBNetError(f"a photo is (H, W, 3) uint8 RGB, not {photo.shape} {photo.dtype}")


def _pixels(photo: Path | np.ndarray, white: float) -> np.ndarray:
    return read_photo(photo, white=white) if isinstance(photo, Path) else photo


def _check_target(folder: Path, sources: Sequence[Path | np.ndarray], *, overlays: bool) -> None:
    targets = {folder.resolve()} | ({(folder / "overlays").resolve()} if overlays else set())
    for source in sources:
        if isinstance(source, Path) and {source.resolve().parent, source.parent.resolve()} & targets:
            raise SBNetError(
                f"{source} is in the folder that masks or overlays are to be written to, where they would be mixed "
                "with photos; choose another folder"
            )


def _save(folder: Path, name: str, photo: np.ndarray, mask: np.ndarray, *, overlays: bool) -> Path:
    path = folder / f"{name}.png"
    write_label(path, mask)
    if overlays:
        with atomic_write(folder / "overlays" / f"{name}.jpg") as file:
            Image.fromarray(overlay(photo, mask)).save(file, "jpeg", quality=90)
    return path
