"""PASCAL VOC 2012 and SBD as they are published: where, and how many files of what."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Archive(NamedTuple):
    """md5: as torchvision's `VOCSegmentation` and `SBDataset` check it. unpacked: the folder in the archive."""

    title: str
    url: str
    md5: str
    unpacked: str


VOC_PAGE = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
SBD_PAGE = "http://home.bharathh.info/pubs/codes/SBD/download.html"
TEST_SERVER = "http://host.robots.ox.ac.uk:8080/"

ARCHIVES = {
    "voc12": Archive(
        "PASCAL VOC 2012, train and val",
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "6cd6e144f989b92b3379bac3b3de84fd",
        "VOCdevkit",
    ),
    "sbd": Archive(
        "SBD, the Semantic Boundaries Dataset",
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
        "82b4d87ceb2ed10f6038a1cba92111cb",
        "benchmark_RELEASE",
    ),
}

WHOLE = {
    **{"JPEGImages": 17125, "SegmentationClass": 2913, "Annotations": 17125, "SBD": 11355},
    **{"train": 1464, "val": 1449, "trainval": 2913, "train_aug": 10582, "test": 1456},
}
"""Files in the folders of the whole of VOC 2012 (train and val) and SBD, and images in VOC 2012's lists."""

_SBD_FOLDERS = (
    "", "cls", "dataset/cls", "benchmark_RELEASE/dataset/cls",
    "SBD/cls", "SBD/dataset/cls", "SBD/benchmark_RELEASE/dataset/cls",
)  # fmt: skip


def find_sbd(root: Path, given: str | Path | None = None) -> Path | None:
    """The folder of SBD's class masks `NAME.mat`: of `given`, else in or beside `root` or the folder around it."""
    root = root.absolute()
    for base in [Path(given)] if given else [root, root.parent, root.parent.parent]:
        for inner in _SBD_FOLDERS:
            if next((base / inner).glob("*.mat"), None) is not None:
                return base / inner
    return None


def origin(name: str) -> str:
    """Where a folder or list of `WHOLE` is officially available."""
    if name == "test":
        return f"VOC 2012's test images and list: {TEST_SERVER}, after registration"
    if name == "train_aug":
        return f"made of VOC's lists and SBD: sbnet data make-lists ROOT; SBD: {SBD_PAGE}, or sbnet data fetch sbd"
    if name in ("SBD", "SegmentationClassAug"):
        return f"{SBD_PAGE}, or sbnet data fetch sbd"
    return f"{VOC_PAGE}, or sbnet data fetch voc12"
