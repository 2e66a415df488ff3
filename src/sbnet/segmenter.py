"""A trained segmenter and its results on photos. H x W pixels, C classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sbnet.data.files import atomic_write, write_label
from sbnet.data.image import MAX_PIXELS, pixel_limit, read_photo
from sbnet.data.palette import PALETTE, overlay
from sbnet.data.photo_kind import check_white
from sbnet.data.photo_notes import tell_of_photos
from sbnet.engine.inference import AHEAD
from sbnet.engine.parallel import in_order
from sbnet.engine.photo_crf import PhotoCRF
from sbnet.engine.predict import SegmenterPredictor
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.ops import strongest_labels
from sbnet.photo_files import find_photos
from sbnet.stages.predict import Settings, apply_crf

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
            _save(Path(folder), name, _pixels(photo, white=self.white), mask, overlays=overlays)
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
            axis.imshow(overlay(_pixels(photo, white=self.white), mask))
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
        self._max_pixels = pixel_limit(scales, mirror=mirror)

    def mask(self, photo: np.ndarray, *, crf: bool = False) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) uint8 class ids; `crf` sharpens the outlines with the dense CRF.

        Raises SBNetError for what is no such array, and for more pixels than memory is planned for or holds.
        """
        _check_array(photo)
        height, width = photo.shape[:2]
        if height * width > self._max_pixels:
            raise SBNetError(
                f"the photo: {width} x {height} pixels exceed the bound of {self._max_pixels}: make it smaller, or "
                "lower the scales at which the network sees it"
            )
        probabilities = self._predictor.probabilities(photo)
        return self._cut("the photo", photo, probabilities, PhotoCRF(self._runtime) if crf else None)

    def _cut(
        self, name: str | Path, photo: np.ndarray, probabilities: np.ndarray, crf: PhotoCRF | None
    ) -> np.ndarray:
        """The mask (H, W) uint8, after the CRF where there is one."""
        if crf:
            height, width = photo.shape[:2]
            with crf.room(name, (height, width), labels=len(probabilities)) as marginals:
                probabilities = apply_crf(marginals, photo, probabilities, self.settings)
        return strongest_labels(probabilities)

    def predict(self, photos: Photos, *, crf: bool = False) -> Result:
        """Masks of photos: files, folders, arrays (H, W, 3) uint8, or a list of them.

        Raises SBNetError for a photo that cannot be read. All masks are held in memory;
        `predict_folder` is for many.
        """
        names, sources = _collect(photos)
        self._tell(sources)
        masks = [self.mask(_pixels(source, self._max_pixels, self.white), crf=crf) for source in sources]
        return Result(names, sources, masks, self.classes, self.white)

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
        """Write `NAME.png` (and `overlays/NAME.jpg`) for each photo; gives each mask's path once written.

        A photo that cannot be read, or is too large for the CRF, is told to `failed` and passed over; the path of a
        mask that is background but for less than a hundredth to `empty`, too. Photos are read, and masks of those
        before refined and written, while the network looks at one.
        """
        names, sources = _collect(photos)
        _check_target(Path(folder), sources, overlays=overlays)
        self._tell(sources)
        return self._into(Path(folder), names, sources, crf, overlays, failed, empty)

    def _tell(self, sources: Sequence[Path | np.ndarray]) -> None:
        """Warns of files whose bands are not all read, or that are dark as most of their bits are not used."""
        files = [source for source in sources if isinstance(source, Path)]
        tell_of_photos(files, white=self.white, setting="--white {0} (sbnet.load(..., white={0}))")

    def _into(
        self,
        folder: Path,
        names: Sequence[str],
        sources: Sequence[Path | np.ndarray],
        crf: bool,
        overlays: bool,
        failed: Callable[[Path, SBNetError], None],
        empty: Callable[[Path], None] | None,
    ) -> Iterator[Path]:
        refinement, workers = PhotoCRF(self._runtime) if crf else None, max(1, self._runtime.worker_count)

        def read(source: Path | np.ndarray) -> np.ndarray | SBNetError:
            try:
                return _pixels(source, self._max_pixels, self.white)
            except SBNetError as error:
                return error

        def finish(
            name: str, source: Path, pixels: np.ndarray, probabilities: np.ndarray
        ) -> tuple[Path, bool] | tuple[Path, SBNetError]:
            try:
                mask = self._cut(source, pixels, probabilities, refinement)
            except SBNetError as error:
                return source, error
            return _save(folder, name, pixels, mask, overlays=overlays), bool((mask != 0).mean() < EMPTY)

        def finishers(pool: ThreadPoolExecutor) -> Iterator[tuple[Callable[[], tuple[Path, Any]], int]]:
            reads = ((partial(read, source), 0) for source in sources)
            found = in_order(pool, reads, most=AHEAD, weight=0)
            for name, source, pixels in zip(names, sources, found, strict=True):
                path = Path(str(source))
                if isinstance(pixels, SBNetError):
                    failed(path, pixels)
                else:
                    probabilities = self._predictor.probabilities(pixels)
                    yield partial(finish, name, path, pixels, probabilities), pixels.size // 3

        with ThreadPoolExecutor(workers) as pool:
            for path, told in in_order(pool, finishers(pool), most=max(AHEAD, workers), weight=MAX_PIXELS):
                if isinstance(told, SBNetError):
                    failed(path, told)
                    continue
                if told and empty:
                    empty(path)
                yield path


def _collect(given: Photos) -> tuple[list[str], list[Path | np.ndarray]]:
    photos = [given] if isinstance(given, (str, Path, np.ndarray)) else list(given)
    files = [photo for photo in photos if isinstance(photo, (str, Path))]
    if len(files) == len(photos):
        found = find_photos(files)
        return [path.stem for path in found], list(found)
    if files:
        raise SBNetError("give either files and folders or arrays, not both at once")
    arrays = [np.asarray(photo) for photo in photos]
    for array in arrays:
        _check_array(array)
    return [f"photo_{number:04}" for number in range(1, len(arrays) + 1)], list(arrays)


def _check_array(photo: np.ndarray) -> None:
    if not isinstance(photo, np.ndarray):
        raise SBNetError(f"a photo is an array here, not {photo!r}; `predict` takes files")
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise SBNetError(f"a photo is (H, W, 3) uint8 RGB, not {photo.shape} {photo.dtype}")


def _pixels(photo: Path | np.ndarray, max_pixels: int = MAX_PIXELS, white: float = 0) -> np.ndarray:
    return read_photo(photo, max_pixels=max_pixels, white=white) if isinstance(photo, Path) else photo


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
