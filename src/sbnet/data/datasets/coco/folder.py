"""COCO's own layout.

annotations/instances_LIST.json          LIST: train2014, val2014, ...
LIST/ or images/LIST/                    its images
"""

from __future__ import annotations

import re
from pathlib import Path

from sbnet.errors import SBNetError, check_folder, did_you_mean

PAGE = "https://cocodataset.org/#download"
WHOLE = {"train2014": 82081, "val2014": 40137}
"""Images of COCO 2014 with any instance."""


def is_coco(root: Path) -> bool:
    """Whether a folder is in COCO's layout, and not in VOC's. Raises `SBNetError` for one that cannot be read."""
    for folder in (root, root / "annotations"):
        if folder.is_dir():
            check_folder(folder)
    return not (root / "JPEGImages").is_dir() and bool(instance_files(root))


def find_list(root: str | Path, name: str) -> tuple[Path, Path]:
    """The instances file and the folder of images of a list: `train2014`, or `train` where there is one year of it.

    Raises `SBNetError`, naming the lists that exist, where either is missing.
    """
    root = Path(root)
    lists = instance_files(root)
    bare = {known: re.sub(r"\d{4}$", "", known) for known in lists}  # without the year
    fitting = [name] if name in lists else [known for known in lists if bare[known] == name]
    if len(fitting) != 1:
        told = f"it has {', '.join(lists)}" if lists else "it has none"
        near = did_you_mean(name, [*lists, *bare.values()])
        of = "there are several" if fitting else f"there is no such file{near}"
        raise SBNetError(
            f"{root / 'annotations'}/instances_{name}.json: {of}; {told}; name one (data.train=, data.val=), or give "
            "the folder that holds COCO's annotations/ (data.root=)"
        )
    found = fitting[0]
    for photos in (root / found, root / "images" / found):
        if photos.is_dir():
            return lists[found], photos
    raise SBNetError(
        f"{root / found}: there is no such folder: unpack the images of {lists[found].name} into it"
    )


def instance_files(root: Path) -> dict[str, Path]:
    """Name of a list -> its instances file, in order of the alphabet."""
    files = sorted((root / "annotations").glob("instances_*.json"))
    return {path.stem.removeprefix("instances_"): path for path in files}
