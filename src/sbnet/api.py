"""What the command line does, as Python: `run` a recipe, `load` the trained segmenter."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from sbnet import models, pipeline
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError, check_folder, did_you_mean
from sbnet.engine.foreign import open_network
from sbnet.config.checks import check_values
from sbnet.config.convert import convert
from sbnet.config.recipe import DataSettings, Recipe, load_recipe
from sbnet.segmenter import Segmenter
from sbnet.steps.predict import Settings

logger = logging.getLogger(__name__)
MODEL = "model.safetensors"
IN_RUN = f"train_segmenter/{MODEL}"


@dataclass(frozen=True)
class RunResult:
    """folder: the run. metrics: stage name -> {"miou": fraction, ...}. report: the HTML page."""

    folder: Path
    metrics: dict[str, Any]
    report: Path

    def segmenter(self, *, device: str = "auto") -> Segmenter:
        """The segmenter that the run trained."""
        return load(self.folder, device=device)


def run(
    recipe: str | Path,
    out: str | Path | None = None,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    start: str | None = None,
    stop: str | None = None,
    only: str | None = None,
    console: Console | None = None,
) -> RunResult:
    """Run a recipe: a packaged name, a YAML file, or a run folder to go on with.

    out: the run folder, by default `runs/NAME`, or the run folder given. overrides: `["train_cam.epochs=3"]`
    or `{"train_cam.epochs": 3}`. start, stop, only: steps, as in `sbnet run --from --to`. console: where
    progress goes; by default nowhere. Raises SBNetError for bad input; finished work is kept, and the same
    call goes on with it.
    """
    loaded = load_recipe(recipe, overrides)
    given = Path(recipe)
    is_run = given.is_dir() and (given / "recipe.yaml").is_file()
    folder = Path(out) if out is not None else given if is_run else Path("runs") / loaded.name
    metrics = pipeline.run(loaded, folder, start=start, stop=stop, only=only, console=console)
    return RunResult(folder, metrics, folder / "report.html")


def load(
    path: str | Path, *, device: str = "auto", precision: str = "auto", white: float | None = None
) -> Segmenter:
    """The segmenter of a run folder, of a `model.safetensors` file, or of the folder that holds one.

    Both bring the recipe's prediction settings (views, CRF): the folder as they are now, the file as they were
    when it was trained. Weights of the reference's segmenters serve, too, with one view and DeepLab v2's CRF. white:
    the value that is white in photos of more than 8 bits or of floats, 0 for the largest that the format has; by
    default as the photos were read that it learnt from. Raises SBNetError where there is no segmenter.
    """
    path, settings = Path(path), None
    if path.is_dir():
        file = _segmenter_file(path)
        if (path / "recipe.yaml").is_file():
            settings = load_recipe(path).predict
        path = file
    elif not path.exists():
        near = did_you_mean(path.name, (beside.name for beside in path.parent.glob("*")))
        raise SBNetError(
            f"{path}: there is no such file or folder{near}; give a run folder (in which {IN_RUN} is looked "
            f"for), a folder with {MODEL}, or such a file; a relative path begins at {Path.cwd()}"
        )
    model, meta, notes = open_network(path)
    for note in notes:
        logger.warning("%s: %s", path, note)
    if not isinstance(model, models.Segmenter) or "classes" not in meta:
        raise SBNetError(
            f"{path} holds '{model.name}', which is no segmenter; give the run's train_segmenter one"
        )
    told = _told_recipe(path, meta)
    if settings is None:
        settings = told.predict
    runtime = Runtime(device=device, precision=precision)
    return Segmenter(
        model,
        meta["classes"],
        settings=settings,
        runtime=runtime,
        white=told.data.white if white is None else white,
    )


def _segmenter_file(folder: Path) -> Path:
    """The model file of a run, or of the folder that holds it."""
    check_folder(folder)
    file = next((folder / place for place in (IN_RUN, MODEL) if (folder / place).is_file()), None)
    if file is not None:
        return file
    if (folder / "recipe.yaml").is_file():
        remedy = f"finish the run: sbnet run {folder}"
    else:
        inner = sorted(one.parents[1] for one in folder.glob(f"*/{IN_RUN}"))
        remedy = (
            f"give a run folder, or a folder with {MODEL}{f' (did you mean {inner[0]}?)' if inner else ''}"
        )
    raise SBNetError(
        f"{folder} holds no trained segmenter: there is neither {IN_RUN} nor {MODEL} in it; {remedy}"
    )


def _told_recipe(path: Path, meta: Mapping[str, Any]) -> Recipe:
    """What a model file says of its recipe that a prediction needs: its settings, and what is white in photos.

    Raises SBNetError for values out of a recipe's ranges.
    """

    def where(_key: str) -> str:
        return f"{path}: "

    data = meta.get("recipe", {}).get("data", {})
    told = Recipe(
        path.stem,
        data=DataSettings(white=convert(data.get("white", 0), float, where, "data.white")),
        predict=convert(meta.get("predict", {}), Settings, where, "predict"),
    )
    check_values(told, where)
    return told
