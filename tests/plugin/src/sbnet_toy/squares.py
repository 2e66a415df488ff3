"""A data set: folders FOLDER/CLASS/NAME.png of images, the masks beside them as NAME.mask.png."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sbnet.data.datasets.base import Dataset, DataSettings, Lists
from sbnet.errors import SBNetError


class SquaresSettings(DataSettings):
    root: str = ""
    """The folder of folders."""
    val: int = 2
    """Images of each class that are measured on."""


class Squares(Dataset):
    name = "toy_squares"
    title = "Folders of classes"
    about = "FOLDER/CLASS/NAME.png with NAME.mask.png"
    Settings = SquaresSettings

    def recognizes(self, folder: Path) -> bool:
        return any(folder.glob("*/*.mask.png"))

    def open(self, settings: SquaresSettings, *, work: Path) -> Lists:
        from sbnet.data.datasets.collection import Collection, Photo

        root = Path(settings.root)
        names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        if not names:
            raise SBNetError(f"data.root: there is no folder of classes in '{root}'; give --data FOLDER")
        train, val = [], []
        for index, name in enumerate(names, start=1):
            files = [path for path in sorted((root / name).glob("*.png")) if not path.stem.endswith(".mask")]
            images = [Photo(path.stem, path, (index,), path.with_suffix(".mask.png")) for path in files]
            val += images[: settings.val]
            train += images[settings.val :]
        classes = ("background", *names)
        return Lists(Collection(classes, tuple(train), "train"), Collection(classes, tuple(val), "val"))

    def lists(self, settings: Any) -> str:
        return f"toy_squares, {settings.val} images of each class to measure on"
