"""Verbs for files of other implementations: `convert-weights`, `convert-cams`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cyclopts import App, Group

from sbnet.errors import SBNetError


def add_commands(app: App) -> None:
    group = Group("Files of other implementations", sort_key=3)
    app.command(convert_weights, group=group)


def convert_weights(
    file: Path,
    /,
    *,
    out: Path,
    model: str | None = None,
    to: Literal["reference", "sbnet", "seam", "psa", "irn", "affinity", "deeplab"] | None = None,
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
        The file to write.
    model
        The network it is for, such as sbnet-resnet38, or a backbone alone, such as resnet101 (see `sbnet models`).
    to
        Write it the other way, under the names of whose scripts shall load it; reference: by how it was trained.
    classes
        A file with a class name a line; by default the classes are PASCAL VOC's.
    """
    if (model is None) == (to is None):
        raise SBNetError("give either --model NAME (from the reference's names) or --to reference (to them)")
    from sbnet import interop
    from sbnet.data.labels import read_class_names

    if to is not None:
        done = interop.write_reference(file, out, style=to)
    else:
        assert model is not None
        names = read_class_names(classes) if classes else None
        done = interop.convert_weights(file, model, out, classes=names)
    print(f"{done.path}: {done.what}, {done.used} tensors")
    for note in done.notes:
        print(f"  {note}")
