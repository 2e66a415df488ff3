"""Verbs for images and masks outside of a run: `predict`, `eval`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from sbnet.errors import SBNetError

GROUP = Group("Images and masks", sort_key=2)
TITLES = {  # of figures of `eval`
    "miou": "mIoU",
    "foreground_miou": "mIoU without background",
    "foreground_precision": "foreground precision",
    "foreground_recall": "foreground recall",
    "pixel_accuracy": "pixel accuracy",
}


def add_commands(app: App) -> None:
    app.command(predict, group=GROUP)
    app.command(evaluate, name="eval", group=GROUP)


def predict(
    *images: Path,
    model: Path,
    out: Path,
    crf: bool = False,
    overlay: bool = True,
    device: str = "auto",
    white_level: float | None = None,
) -> int:
    """Predict masks with a trained segmenter: palette PNGs, and overlays on the images.

    Examples:

      sbnet predict holiday/ --model runs/quickstart --out masks
      sbnet predict a.jpg b.jpg --model model.safetensors --out masks --crf --no-overlay

    Parameters
    ----------
    images
        Image files, or folders of images. Subfolders are not searched.
    model
        A run folder, a segmenter's model.safetensors, the folder that holds one, or weights of SEAM's or DeepLab v2's
        segmenter (.pth).
    out
        The folder for NAME.png and overlays/NAME.jpg.
    crf
        Refine the outlines with the dense CRF.
    overlay
        Write the overlays.
    device
        auto, cpu or cuda.
    white_level
        The value that is white in images of more than 8 bits, such as 4095 for 12 bits stored in 16, or of floats; 0 for
        the largest that the format has. By default as in the images that the model was trained on (data.white_level).
    """
    from sbnet.data.io.named_files import find_photos

    found = find_photos(images)  # before PyTorch loads, so that a typing mistake is reported at once
    from sbnet.api import load
    from sbnet.work.progress import photo_progress

    failures: list[Path] = []
    empty: list[Path] = []

    def failed(path: Path, error: SBNetError) -> None:
        failures.append(path)
        print(f"sbnet: {error}", file=sys.stderr)

    written = load(model, device=device, white_level=white_level).predict_folder(
        found, out, crf=crf, overlays=overlay, failed=failed, empty=empty.append
    )
    count = sum(1 for _ in photo_progress("predict", written, len(found)))
    print(f"{count} of {len(found)} masks written to {out}")
    if 2 * len(empty) > count:
        print(
            f"  {len(empty)} of them are all background, or nearly, such as {empty[0].name}: the images show none of the "
            "model's classes, or differ from those that it was trained on, or it was trained too little"
        )
    return 2 if failures else 0


def evaluate(
    predictions: Path,
    /,
    *,
    ground_truth: Path,
    classes: Path | None = None,
    names: Annotated[Path | None, Parameter(name="--list")] = None,
    absent: Literal["nan", "zero"] = "nan",
    json: Path | None = None,
) -> None:
    """Compare masks with ground truth: IoU of each class, mIoU, pixel accuracy, precision and recall.

    One confusion matrix over all images; pixels that are 255 in the ground truth are ignored. Example:

      sbnet eval masks --ground-truth VOC2012/SegmentationClass --list VOC2012/ImageSets/Segmentation/val.txt

    Parameters
    ----------
    predictions
        A folder of NAME.png masks.
    ground_truth
        A folder of ground truth with the same names.
    classes
        A file with one class name per line (background may be left out); by default classes.txt beside the ground truth,
        else VOC's classes.
    names
        A file with one image name per line; each must be in both folders. By default all names that are in both.
    absent
        How to count a class that is in no mask at all: nan excludes it from the mean, zero counts it as 0.
    json
        Also write the figures to this file.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from sbnet.data.io.files import write_json
    from sbnet.report.tables import percent
    from sbnet.steps.evaluate import evaluate_folders

    facts = evaluate_folders(
        predictions, ground_truth, classes=classes, names=names, absent=absent, target=json
    )
    table = Table("", Column("%", justify="right"))
    for key, title in TITLES.items():
        table.add_row(title, percent(facts[key]))
    table.add_section()
    for name, iou in facts["per_class"].items():
        table.add_row(escape(name), percent(iou))
    console = Console()
    console.print(table)
    console.print(
        f"{facts['images']} images; classes of {facts['class_list']}; absent classes are {facts['absent']}; "
        f"{facts['without_ground_truth']} without ground truth, {facts['without_prediction']} without a prediction",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if json:
        write_json(json, facts)
