"""The verb `sbnet export`: masks in the formats of other tools."""

from __future__ import annotations

from inspect import cleandoc
from pathlib import Path

from cyclopts import App

from sbnet.cli.about import aligned
from sbnet.cli.photos import GROUP
from sbnet.errors import counted


def add_commands(app: App, named: str) -> None:
    """named: the verb that is asked for; the formats, plug-ins' included, are loaded for this one alone."""
    text = cleandoc(export.__doc__ or "").partition("\n\nParameters\n")[0]
    if named == "export":
        from sbnet.registry import EXPORTS

        text += "\n\nFormats:\n\n" + "\n".join(aligned((one.name, one.title) for one in EXPORTS.entries()))
    app.command(export, group=GROUP, help=text)


def export(source: Path, /, *, to: str, out: Path, classes: Path | None = None) -> None:
    """Write masks in another format: those of a run's last finished stage, or a folder of NAME.png.

    For example:

      sbnet export runs/quickstart --to png --out masks
      sbnet export masks --to areas --out areas --classes classes.txt

    Parameters
    ----------
    source
        A run folder, or a folder of NAME.png masks.
    to
        The format.
    out
        The folder to write: new or empty.
    classes
        A file with one class name per line; by default a run's own classes, or classes.txt in SOURCE or beside it.
    """
    from sbnet.exports.masks import check_masks, export_masks, find_classes
    from sbnet.registry import EXPORTS

    form = EXPORTS[to]
    check_masks(source)
    folder, images = source, dict[str, Path]()
    if (source / "recipe.yaml").is_file():
        from sbnet.pipeline.outputs import final_masks

        folder = final_masks(source)
        if classes is None:
            names, images = _of_run(source)
    if not images:
        names = find_classes(folder, classes)
    count = export_masks(folder, form, out, classes=names, images=images)
    print(f"{out}: {counted(count, 'mask')} of {folder} written as {to}")


def _of_run(run: Path) -> tuple[tuple[str, ...], dict[str, Path]]:
    """Class names, and images by name, of the run's data set."""
    from sbnet.config.recipe import load_recipe
    from sbnet.registry import DATASETS

    data = load_recipe(run).data
    lists = DATASETS[data.name].open(data.settings, work=run / "data")
    return lists.train.classes, {image.name: image.path for one in lists if one for image in one}
