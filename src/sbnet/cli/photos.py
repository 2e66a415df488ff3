"""Verbs for photos and masks outside of a run: `predict`, `eval`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from sbnet.errors import SBNetError


def add_commands(app: App) -> None:
    group = Group("Photos and masks", sort_key=2)
    app.command(predict, group=group)
    app.command(evaluate, name="eval", group=group)


def predict(
    *photos: Path,
    model: Path,
    out: Path,
    crf: bool = False,
    overlay: bool = True,
    device: str = "auto",
    white: float | None = None,
) -> int:
    """Masks of photos from a trained segmenter, as palette PNG, and the photos with their masks laid over.

    Examples:

      sbnet predict holiday/ --model runs/quickstart --out masks
      sbnet predict a.jpg b.jpg --model model.safetensors --out masks --crf --no-overlay

    Parameters
    ----------
    photos
        Files, or folders of photos.
    model
        A run folder, the model.safetensors of its train_segmenter, the folder that holds one, or weights of SEAM's or
        DeepLab v2's segmenter (.pth).
    out
        Where NAME.png and overlays/NAME.jpg are written.
    crf
        Sharpen the outlines with the dense CRF.
    overlay
        Write the overlays.
    device
        auto, cpu or cuda.
    white
        The value that is white in photos of more than 8 bits, such as 4095 of 12 bits stored in 16, or of floats;
        0: the largest that the format has. By default as in the photos that the model learnt from (data.white).
    """
    from sbnet.photo_files import find_photos

    found = find_photos(photos)  # before PyTorch loads, so that a typing mistake is told at once
    from sbnet.api import load
    from sbnet.work.progress import photo_progress

    failures: list[Path] = []
    empty: list[Path] = []

    def failed(path: Path, error: SBNetError) -> None:
        failures.append(path)
        print(f"sbnet: {error}", file=sys.stderr)

    written = load(model, device=device, white=white).predict_folder(
        found, out, crf=crf, overlays=overlay, failed=failed, empty=empty.append
    )
    count = sum(1 for _ in photo_progress("predict", written, len(found)))
    print(f"{count} of {len(found)} masks written to {out}")
    if 2 * len(empty) > count:
        print(
            f"  {len(empty)} of them are background alone, or nearly, such as {empty[0].name}: either there is none of "
            "the model's classes in these photos, or they are unlike those that it learnt from, or it learnt too little"
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
    """Measure masks against true ones: IoU of each class, mIoU, pixel accuracy, precision and recall.

    One confusion matrix over all photos; 255 in the true mask is left out. Example:

      sbnet eval masks --ground-truth VOC2012/SegmentationClass --list VOC2012/ImageSets/Segmentation/val.txt

    Parameters
    ----------
    predictions
        A folder of NAME.png masks.
    ground_truth
        A folder of true masks of the same names.
    classes
        A file with a class name a line (background may be left out); by default classes.txt beside the true masks,
        else VOC's.
    names
        A file with a NAME a line; each must be in both folders. By default all names that are.
    absent
        A class in no mask at all: nan leaves it out of the mean, zero counts it as 0.
    json
        Also write the figures to this file.
    """
    from rich.console import Console

    from sbnet.data.io.files import write_json
    from sbnet.steps.evaluate import evaluate_folders

    facts = evaluate_folders(
        predictions, ground_truth, classes=classes, names=names, absent=absent, target=json
    )
    console = Console()
    console.print(_table(facts))
    console.print(
        f"{facts['photos']} photos; classes of {facts['class_list']}; absent classes are {facts['absent']}; "
        f"without a true mask {facts['without_truth']}, without a prediction {facts['without_prediction']}",
        highlight=False,
        soft_wrap=True,
    )
    if json:
        write_json(json, facts)


def _table(facts: dict[str, object]) -> object:
    from rich.table import Table

    table = Table("", "%")
    table.columns[1].justify = "right"
    titles = {
        "miou": "mIoU",
        "pixel_accuracy": "pixel accuracy",
        "foreground_precision": "foreground precision",
        "foreground_recall": "foreground recall",
    }
    rows = [(title, facts[key]) for key, title in titles.items()]
    per_class = facts["per_class"]
    assert isinstance(per_class, dict)
    for number, (title, value) in enumerate([*rows, *per_class.items()], start=1):
        shown = f"{100 * value:.1f}" if isinstance(value, float) else "-"
        table.add_row(title, shown, end_section=number == len(rows))
    return table
