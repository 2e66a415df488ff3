"""Verbs for files of other implementations: `convert-weights`, `convert-cams`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from sbnet.errors import SBNetError


def add_commands(app: App) -> None:
    group = Group("Files of other implementations", sort_key=3)
    app.command(convert_weights, group=group)
    app.command(convert_cams, group=group)


def convert_weights(
    file: Path,
    /,
    *,
    out: Path,
    model: str | None = None,
    to: Literal["reference", "sbnet", "seam", "psa", "irn", "affinity", "deeplab", "deeplabv1"] | None = None,
    classes: Path | None = None,
) -> None:
    """Weights of the reference implementations or of MXNet as a model file, or a model file as theirs.

    Every tensor of the file is accounted for; a pickle of more than tensors is refused. Examples:

      sbnet convert-weights resnet38_SEAM.pth --model sbnet-resnet38 --out seam.safetensors
      sbnet convert-weights ilsvrc-cls_rna-a1_cls1000_ep-0001.params --model resnet38 --out resnet38.safetensors
      sbnet convert-weights runs/a/train_cam/model.safetensors --to reference --out cam.pth

    Parameters
    ----------
    file
        A .pth or .safetensors of tensors, or MXNet's .params; with --to a model.safetensors of sbnet's.
    out
        The file to write: a .safetensors, or with --to a .pth.
    model
        The network it is for, such as sbnet-resnet38, or a backbone alone, such as resnet101 (see `sbnet models`).
    to
        Write it the other way, under the names of whose scripts shall load it; reference: by how it was trained.
    classes
        A file with a class name a line; by default the classes are PASCAL VOC's.
    """
    if (model is None) == (to is None):
        raise SBNetError("give either --model NAME (from the reference's names) or --to reference (to them)")
    from sbnet import compat
    from sbnet.data.datasets.labels import read_class_names

    if to is not None:
        done = interop.write_reference(file, out, style=to)
    else:
        assert model is not None
        names = read_class_names(classes) if classes else None
        done = interop.convert_weights(file, model, out, classes=names)
    print(f"{done.path}: {done.what}, {done.used} tensors")
    for note in done.notes:
        print(f"  {note}")


def convert_cams(
    folder: Path,
    /,
    *,
    out: Path,
    to: Literal["scores", "reference", "labels"] = "scores",
    photos: Path | None = None,
    crf_alphas: Annotated[str, Parameter(name="--crf-alphas")] = "",
    white: float = 0,
    high: Path | None = None,
) -> None:
    """CAM files of SEAM, SBNet, PSA or IRN as ours, and ours as theirs. Nothing in theirs is executed.

    Examples:

      sbnet convert-cams out_cam --out cams
      sbnet convert-cams runs/a/infer_cam/scores --to reference --out out_cam
      sbnet convert-cams runs/a/infer_cam/scores --to reference --out crf --photos VOC2012/JPEGImages --crf-alphas 4,24
      sbnet convert-cams out_crf_4.0 --high out_crf_24.0 --to labels --out labels

    A run starts from such a folder as it is: sbnet run voc12-resnet38 --data VOC2012 infer_cam.scores=out_cam

    Parameters
    ----------
    folder
        NAME.npy of theirs, or NAME.npz of ours with --to reference.
    out
        The folder to write to.
    to
        scores: our NAME.npz; reference: their NAME.npy; labels: confident labels from CRF marginals, with --high.
    photos
        The folder of the photos, for --crf-alphas.
    crf_alphas
        With --to reference: background powers, such as 4,24, at which CRF marginals are written, too, into OUT_4.0 and
        so on.
    white
        For --crf-alphas: the value that is white in photos of more than 8 bits or of floats, as data.white of a run.
    high
        With --to labels: the marginals at the high background power; FOLDER has those at the low one.
    """
    from sbnet.photo_files import find_photos
    from sbnet.steps import convert_cams as convert

    if (to == "labels") != (high is not None):
        raise SBNetError("--to labels needs two folders of CRF marginals: FOLDER --high FOLDER")
    if crf_alphas and to != "reference":
        raise SBNetError("--crf-alphas goes with --to reference")
    if to == "scores":
        count = convert.cams_to_scores(folder, out)
    elif high is not None:
        count = convert.marginals_to_labels(folder, high, out)
    else:
        found = find_photos([photos]) if photos else []
        count = convert.scores_to_cams(folder, out, photos=found, alphas=_numbers(crf_alphas), white=white)
    print(f"{count} files written to {out}")


def _numbers(words: str) -> list[float]:
    try:
        return [float(word) for word in words.split(",") if word.strip()]
    except ValueError:
        raise SBNetError(f"--crf-alphas: '{words}' is no list of numbers such as 4,24") from None
