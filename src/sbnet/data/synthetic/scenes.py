"""Built-in scenes: drawn pictures with exact masks and image-level labels, the same for the same seed.

They stand in for a data set where there is none: `make_scenes` writes a folder in VOC's layout.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image

from sbnet.data.io.files import read_json, write_bytes, write_json, write_label
from sbnet.data.synthetic.scene_picture import CLASSES, SIZE, scene
from sbnet.errors import SBNetError

__all__ = ["CLASSES", "SIZE", "make_scenes", "scene"]

VERSION = 2  # of the drawing: a folder of another version is made again
MARKER = "scenes.json"
FIRST_VAL = 1_000_000  # scenes from here on are val's, so that neither list's length changes the other


def make_scenes(
    folder: str | Path, *, train: int = 160, val: int = 40, size: tuple[int, int] = SIZE, seed: int = 0
) -> Path:
    """Writes `train` and `val` scenes of `size` (height, width) into `folder`, in VOC's layout.

    `scenes.json` keeps the arguments. A whole folder of the same arguments is left as it is, one that was cut
    off is completed, one of other arguments is drawn again in place. Raises `SBNetError` for a folder
    of other files.
    """
    folder = Path(folder)
    if not (0 < train <= FIRST_VAL and val >= 0):
        raise SBNetError(f"scenes: train is {train} and val {val}: train is 1 to {FIRST_VAL}, val 0 or more")
    wanted = {"version": VERSION, "seed": seed, "size": list(size), "train": train, "val": val}
    if _prepare(folder, wanted):
        return folder
    write_json(folder / MARKER, {**wanted, "whole": False})
    for split, indices in {"train": range(train), "val": range(FIRST_VAL, FIRST_VAL + val)}.items():
        names = [_write_scene(folder, seed, index, size) for index in indices]
        write_bytes(folder / "ImageSets" / "Segmentation" / f"{split}.txt", _lines(names))
    write_bytes(folder / "classes.txt", _lines(CLASSES))
    write_json(folder / MARKER, {**wanted, "whole": True})
    return folder


def _prepare(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether the folder is whole as wanted; else it is left with pictures that belong into it only."""
    if not folder.exists() or not any(folder.iterdir()):
        return False
    if not (folder / MARKER).is_file():
        raise SBNetError(f"{folder} holds files that are not built-in scenes: choose an empty or new folder")
    found = read_json(folder / MARKER)
    if found == {**wanted, "whole": True}:
        return True
    if any(found.get(key) != wanted[key] for key in ("version", "seed", "size")):
        for path in folder.glob("*/scene_*.*"):
            path.unlink()
    return False


def _write_scene(folder: Path, seed: int, index: int, size: tuple[int, int]) -> str:
    """Writes mask and image unless they are there, and gives their name."""
    name = f"scene_{index:07d}"
    path = folder / "JPEGImages" / f"{name}.jpg"
    if not path.exists():
        photo, mask, _ = scene(seed, index, size=size)
        write_label(folder / "SegmentationClass" / f"{name}.png", mask)
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, "jpeg", quality=92)
        write_bytes(path, buffer.getvalue())  # last, as it says that the mask is there too
    return name


def _lines(words: tuple[str, ...] | list[str]) -> bytes:
    return "".join(f"{word}\n" for word in words).encode()
