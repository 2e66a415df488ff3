"""What the command line does, as Python: `run` a recipe, `load` the trained segmenter."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Console

from sbnet.config.recipe import load_recipe
from sbnet.config.refusals import refusal
from sbnet.data.datasets.base import DataSettings
from sbnet.errors import SBNetError, check_folder, did_you_mean
from sbnet.settings import Settings
from sbnet.steps.settings import PredictSettings
from sbnet.steps.spec import MODEL, Measure

if TYPE_CHECKING:
    from sbnet.segmenter import Segmenter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """folder: the run. metrics: name -> {"miou": fraction, ...}. report: the HTML page. measures: what was measured, in
    the order of the chain.
    """

    folder: Path
    metrics: dict[str, Any]
    report: Path
    measures: tuple[Measure, ...] = ()

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
    """Run a recipe: a packaged name, a YAML file, or a run folder to resume.

    out: the run folder, by default `runs/NAME`, or the run folder given. overrides: `["seeds.train.epochs=3"]` or
    `{"seeds.train.epochs": 3}`. start, stop, only: steps, as in `sbnet run --from --to`. console: where progress goes; by
    default nowhere. Raises SBNetError for bad input; finished work is kept, and the same call resumes.
    """
    loaded = load_recipe(recipe, overrides)
    from sbnet import pipeline  # PyTorch loads once the recipe is accepted

    given = Path(recipe)
    is_run = (given / "recipe.yaml").is_file()
    folder = Path(out) if out is not None else given if is_run else Path("runs", loaded.name)
    metrics = pipeline.run(loaded, folder, start=start, stop=stop, only=only, console=console)
    measured = tuple(one for step in pipeline.recipe_steps(loaded) for one in step.spec.measures)
    return RunResult(folder, metrics, folder / "report.html", measured)


def load(
    path: str | Path, *, device: str = "auto", precision: str = "auto", white_level: float | None = None
) -> Segmenter:
    """The segmenter of a run folder, of a `model.safetensors` file, or of the folder that holds one.

    Both bring the recipe's prediction settings (views, CRF): the folder as they are now, the file as they were when it
    was trained. Weights of published segmenters work too, with one view and DeepLab v2's CRF. white_level: the value that
    is white in images of more than 8 bits or of floats, 0 for the largest that the format has; by default as in the
    images that it learned from. Raises SBNetError where there is no segmenter.
    """
    from sbnet.engine.runtime import Runtime
    from sbnet.networks.foreign import open_network
    from sbnet.segmenter import Segmenter

    runtime = _typed(Runtime, {"device": device, "precision": precision}, "runtime")
    path = Path(path)
    file = _model_file(path)
    model, meta, notes = open_network(file)
    for note in notes:
        logger.warning("%s: %s", file, note)
    if not hasattr(model, "logits") or "classes" not in meta:
        raise SBNetError(f"{file} holds '{model.name}', which is not a segmenter; give the run's folder")
    if (path / "recipe.yaml").is_file():
        settings = load_recipe(path).predict
    else:
        settings = _typed(PredictSettings, meta.get("predict", {}), "predict", file=file)
    if white_level is None:
        trained_on = {"white_level": meta.get("recipe", {}).get("data", {}).get("white_level", 0)}
        white_level = _typed(DataSettings, trained_on, "data", file=file).white_level
    return Segmenter(model, meta["classes"], settings=settings, runtime=runtime, white=white_level)


def _model_file(path: Path) -> Path:
    """The model file of a run, of the folder that holds it, or the file itself."""
    if not path.is_dir():
        if path.exists():
            return path
        near = did_you_mean(path.name, (beside.name for beside in path.parent.glob("*")))
        raise SBNetError(
            f"{path}: no such file or folder{near}; give a run folder, a folder with {MODEL.place}, or such a "
            f"file; relative paths start at {Path.cwd()}"
        )
    check_folder(path)
    file, remedy = path / MODEL.place, f"give a run folder, or a folder with {MODEL.place}"
    if (path / "recipe.yaml").is_file():
        from sbnet.pipeline.outputs import segmenter_file

        file, remedy = segmenter_file(path), f"finish the run: sbnet run {shlex.quote(str(path))}"
    elif inner := sorted(path.glob("*/recipe.yaml")):
        remedy += f" (did you mean {inner[0].parent}?)"
    if not file.is_file():
        raise SBNetError(f"{path} holds no trained segmenter (no {file.relative_to(path)}); {remedy}")
    return file


def _typed(kind: type[Settings], values: Any, key: str, *, file: Path | None = None) -> Any:
    """Settings, of a model file or given. Raises SBNetError for values out of a recipe's ranges."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise refusal(error, kind, lambda _: f"{file}: " if file else "", key) from None
