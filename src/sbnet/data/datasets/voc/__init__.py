"""PASCAL VOC, and any folder in its layout."""

from __future__ import annotations

from pathlib import Path

from sbnet.data.datasets.base import Dataset, DataSettings, Lists, register, root_of


class VocSettings(DataSettings):
    """A folder with JPEGImages, ImageSets/Segmentation, and masks, annotations or a label file."""

    root: str = ""
    """The folder that holds JPEGImages; `--data FOLDER` sets it."""
    train: str = "train"
    """The list to train on, in ImageSets/Segmentation."""
    val: str = "val"
    """The list to measure on; empty for none."""
    labels: str = "auto"
    """Where image-level labels come from: masks, xml, auto (masks, else xml), or a label file."""
    classes: str = ""
    """A file with one class name per line; by default classes.txt in root, else VOC's 20 classes."""
    masks: str = ""
    """The folder of the ground truth, a name in root or a path; by default SegmentationClass."""


@register
class Voc(Dataset):
    name = "voc"
    title = "A folder in PASCAL VOC's layout"
    about = "JPEGImages, ImageSets/Segmentation, SegmentationClass, Annotations, classes.txt"
    Settings = VocSettings

    def recognizes(self, folder: Path) -> bool:
        return (folder / "JPEGImages").is_dir() or (folder / "ImageSets").is_dir()

    def open(self, settings: VocSettings, *, work: Path) -> Lists:
        from sbnet.data.datasets.voc.folder import read_lists

        root = root_of(settings, "a folder in PASCAL VOC's layout, which holds JPEGImages")
        return read_lists(
            root,
            settings.train,
            settings.val,
            labels=settings.labels,
            classes=settings.classes,
            masks=settings.masks,
            white=settings.white_level,
        )
