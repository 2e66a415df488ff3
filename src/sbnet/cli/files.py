"""Verbs for files of other implementations: `convert-weights`, `convert-cams`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from sbnet.errors import SBNetError, counted


def add_commands(app: App) -> None:
    group = Group("Files of other implementations", sort_key=3)
    app.command(convert_weights, group=group)
    app.command(convert_cams, group=group)


def convert_weights(
    file: Path,
    /,
    *,
    out: Path,
    model: str = "",
    to: str | None = None,
    classes: Path | None = None,
) -> None:
    """Convert weights of SBNet, SEAM, PSA, IRN, DeepLab v2 or MXNet to a model file, or a model file to theirs.

    Every tensor of the file is accounted for. A pickle with more than tensors is refused. Examples:

      sbnet convert-weights resnet38_SEAM.pth --out resnet38_SEAM.safetensors
      sbnet convert-weights ilsvrc-cls_rna-a1_cls1000_ep-0001.params --model resnet38 --out resnet38.safetensors
      sbnet convert-weights runs/a/train_cam/model.safetensors --to reference --out cam.pth

    Parameters
    ----------
    file
        A .pth or .safetensors of tensors, or MXNet's .params; with --to, a model.safetensors of sbnet.
    out
        The file to write: a .safetensors; with --to, a .pth.
    model
        The network, such as sbnet-resnet38, or a backbone alone, such as resnet101 (see `sbnet models`). By default it
        is recognized by the names of the tensors.
    to
        Write a file for published scripts: `reference` for those of the network's own paper, or the lower-case name of
        an ancestor, SEAM or PSA, for the part of the network that its scripts load.
    classes
        A file with one class name per line, background first. By default PASCAL VOC's classes.
    """
    if model and to:
        raise SBNetError(
            "--model and --to cannot be combined: --model reads the reference's weights, --to writes them"
        )
    from sbnet.data.datasets.labels import read_class_names
    from sbnet.networks import foreign

    if to:
        done = foreign.write_reference(file, out, to=to)
    else:
        names = read_class_names(classes) if classes else None
        done = foreign.convert_weights(file, model, out, classes=names)
    print(f"{done.path}: {done.what}, {done.used} tensors")
    for note in done.notes:
        print(f"  {note}")


def convert_cams(
    folder: Path,
    /,
    *,
    out: Path,
    to: Literal["scores", "reference", "marginals", "seeds"] = "scores",
    images: Path | None = None,
    alphas: Annotated[str, Parameter(name="--alphas")] = "",
    white_level: float = 0,
    high: Path | None = None,
) -> None:
    """Convert CAM files of SBNet, SEAM, PSA or IRN to ours, or ours to theirs. No code in them is executed.

    Examples:

      sbnet convert-cams out_cam --out scores
      sbnet convert-cams runs/a/infer_cam/scores --to reference --out out_cam
      sbnet convert-cams runs/a/infer_cam/scores --to marginals --images VOC2012/JPEGImages --alphas 4,24 --out out_crf
      sbnet convert-cams out_crf_4.0 --high out_crf_24.0 --to seeds --out seeds

    A run takes their CAM files without conversion:

      sbnet run voc12-resnet38 --data VOC2012 seeds.method=cam_files seeds.folder=out_cam

    Parameters
    ----------
    folder
        Their NAME.npy; with --to reference or marginals, our NAME.npz.
    out
        The folder to write to.
    to
        scores: our NAME.npz. reference: their NAME.npy. marginals: CRF marginals, from which their AffinityNet learns,
        in OUT_4.0 and so on. seeds: partial labels NAME.png from two folders of CRF marginals.
    images
        With --to marginals: the folder of the images.
    alphas
        With --to marginals: background powers, such as 4,24.
    white_level
        With --to marginals: the white level of images with more than 8 bits or floats, as data.white_level in a recipe.
    high
        With --to seeds: the marginals at the high background power; FOLDER has those at the low one.
    """
    from sbnet.cli import convert_cams as convert
    from sbnet.data.io.named_files import find_photos

    if (to == "seeds") != (high is not None):
        raise SBNetError("--to seeds requires two folders of CRF marginals: FOLDER --high FOLDER")
    if to == "marginals" and not (images and alphas):
        raise SBNetError("--to marginals requires --images FOLDER and --alphas, such as --alphas 4,24")
    if to != "marginals" and (images or alphas):
        raise SBNetError("--images and --alphas require --to marginals")
    if to == "scores":
        count = convert.cams_to_scores(folder, out)
    elif to == "reference":
        count = convert.scores_to_cams(folder, out)
    elif high is not None:
        count = convert.marginals_to_seeds(folder, high, out)
    else:
        assert images
        powers, found = _numbers(alphas), find_photos([images])
        count = convert.scores_to_marginals(folder, out, images=found, alphas=powers, white_level=white_level)
    print(f"{counted(count, 'file')} written to {out}")


def _numbers(words: str) -> list[float]:
    try:
        return [float(word) for word in words.split(",")]
    except ValueError:
        raise SBNetError(f"--alphas: '{words}' is not a list of numbers such as 4,24") from None
