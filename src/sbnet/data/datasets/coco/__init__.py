"""COCO's own layout: annotations/instances_LIST.json and its images."""

from __future__ import annotations

from pathlib import Path

from sbnet.data.datasets.base import Dataset, Lists, register, root_of
from sbnet.data.datasets.voc import VocSettings


class CocoSettings(VocSettings):
    """A folder with annotations/instances_LIST.json and the images in LIST/ or images/LIST/."""

    root: str = ""
    """The folder that holds annotations; `--data FOLDER` sets it."""
    train: str = "train"
    """The list to train on: train2014, or train where there is one year of it."""
    labels: str = "auto"
    """Where image-level labels come from: auto (the annotations), masks, or a label file."""
    classes: str = ""
    """A file with one class name per line; by default COCO's categories."""
    masks: str = ""
    """The folder of the ground truth, a name in root or a path; by default masks are drawn from the annotations."""


@register
class Coco(Dataset):
    name = "coco"
    title = "COCO's own layout"
    about = "annotations/instances_LIST.json; the lists are converted to VOC's layout in the run folder"
    Settings = CocoSettings

    def recognizes(self, folder: Path) -> bool:
        from sbnet.data.datasets.coco.folder import is_coco

        return is_coco(folder)

    def open(self, settings: CocoSettings, *, work: Path) -> Lists:
        from sbnet.data.datasets.coco.folder import find_list
        from sbnet.data.datasets.coco.layout import make_voc_layout
        from sbnet.data.datasets.voc.folder import read_lists
        from sbnet.data.datasets.voc.write import label_file

        root = root_of(settings, "COCO's folder, which holds annotations")
        for name in dict.fromkeys(filter(None, (settings.train, settings.val))):
            instances, images = find_list(root, name)
            make_voc_layout(instances, images, work, name, masks=not settings.masks)
        inside = root / settings.masks
        return read_lists(
            work,
            settings.train,
            settings.val,
            labels=label_file(work, settings.train) if settings.labels == "auto" else settings.labels,
            classes=settings.classes,
            masks=inside if settings.masks and inside.is_dir() else settings.masks,
            white=settings.white_level,
        )
