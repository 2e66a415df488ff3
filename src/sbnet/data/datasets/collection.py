"""Images with their image-level labels: what every reader returns and every step takes.

Shapes: C classes, background (id 0) included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sbnet.data import IGNORE
from sbnet.data.datasets.labels import VOC_CLASSES
from sbnet.data.io.image import MAX_PIXELS, photo_size, read_photo
from sbnet.errors import SBNetError


@dataclass(frozen=True)
class Photo:
    """One image. classes: ids in it (1..C-1, ascending). mask: its ground truth, if any. listed, labelled: where its
    name and its labels come from (`train.txt, line 3`), for messages; "" if not known. white: its white level, see
    `read_photo`.
    """

    name: str
    path: Path
    classes: tuple[int, ...] = ()
    mask: Path | None = None
    listed: str = ""
    labelled: str = ""
    white: float = 0

    def pixels(self, *, max_pixels: int = MAX_PIXELS, needed: tuple[int, int] | None = None) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright; see `read_photo`."""
        return read_photo(self.path, max_pixels=max_pixels, needed=needed, white=self.white)

    def size(self) -> tuple[int, int]:
        """(H, W), upright, without decoding it; see `photo_size`."""
        return photo_size(self.path)


@dataclass(frozen=True)
class Collection:
    """Images in a fixed order over one list of class names, whose first is the background."""

    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    name: str

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= IGNORE:
            raise SBNetError(f"{self.name}: {len(self.classes)} classes in all; 2 to {IGNORE} fit a mask")
        for photo in self.photos:
            if any(not 1 <= index < len(self.classes) for index in photo.classes):
                raise SBNetError(
                    f"{self.name}: image '{photo.name}' has class ids {photo.classes}; "
                    f"they run from 1 to {len(self.classes) - 1}"
                )

    def __len__(self) -> int:
        return len(self.photos)

    def __iter__(self) -> Iterator[Photo]:
        return iter(self.photos)

    def label_vector(self, photo: Photo) -> np.ndarray:
        """Float32 (C-1,): 1 where the foreground class is in the image; element c - 1 is class c."""
        vector = np.zeros(len(self.classes) - 1, np.float32)
        vector[np.asarray(photo.classes, np.int64) - 1] = 1
        return vector

    def class_counts(self) -> np.ndarray:
        """Int64 (C,): the number of images that show each class; every image has background."""
        counts = np.zeros(len(self.classes), np.int64)
        counts[0] = len(self.photos)
        for photo in self.photos:
            counts[list(photo.classes)] += 1
        return counts

    def check_trainable(self) -> None:
        """Raises `SBNetError` for the first reason not to train on these images."""
        for reason in self.untrainable():
            raise SBNetError(reason)

    def untrainable(self) -> list[str]:
        """Images without any class, and classes without any image: up to one message each."""
        reasons = []
        if empty := [photo for photo in self.photos if not photo.classes]:
            first = empty[0]
            by = f" in {first.labelled}" if first.labelled else ""
            more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
            reasons.append(
                f"{first.listed or self.name}: image '{first.name}' has no class{by}{more}: every training "
                "image needs a class; label it or remove it from the list"
            )
        unseen = [
            f"'{name}'" for name, count in zip(self.classes, self.class_counts(), strict=True) if not count
        ]
        if unseen:
            shown = ", ".join(unseen[:5]) + (f" and {len(unseen) - 5} more" if len(unseen) > 5 else "")
            own = " (where there is no classes.txt beside JPEGImages, it is PASCAL VOC's: write your own)"
            reasons.append(
                f"{self.name}: {shown} without any image: every class needs images; add some, or remove the class "
                f"from the class list{own if self.classes == VOC_CLASSES else ''}"
            )
        return reasons
