"""A recipe: everything a run needs, typed. `load_recipe` reads one, `Recipe.write` keeps it as run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from sbnet.data.io.files import write_bytes
from sbnet.engine.runtime import Runtime
from sbnet.metrics import Absent
from sbnet.config import source
from sbnet.config.checks import check_values
from sbnet.config.convert import build, plain
from sbnet.methods.cam import infer as infer_cam, train as train_cam
from sbnet.steps import predict, propagate as random_walk, crf as refine, train_segmenter
from sbnet.methods.affinitynet import train as train_affinity
from sbnet.steps.workspace import ModelSettings

Training = TypeVar("Training", train_cam.Settings, train_affinity.Settings)
RefineSettings = refine.Settings  # the recipe has a section of the module's name, and two of its kind


@dataclass(frozen=True)
class SceneSettings:
    """The built-in scenes: pictures of the two lists, their (height, width), the seed they follow from."""

    train: int = 160
    val: int = 40
    size: tuple[int, int] = (144, 192)
    seed: int = 0


@dataclass(frozen=True)
class DataSettings:
    """source: `scenes` (made in the run folder), `voc` (a folder of the VOC layout at `root`) or `coco` (COCO's own).
    train, val: lists in ImageSets/Segmentation, or of COCO's instances files; val may be ''.
    labels: image labels from `auto`, `masks`, `xml`, or a label file. classes: '' or a file of class names.
    masks: the folder of the true masks, '' for SegmentationClass; a name in `root`, or a path.
    white: the value that is white in photos of more than 8 bits or of floats; 0: the largest that the format has.
    """

    source: str = "scenes"
    root: str = ""
    train: str = "train"
    val: str = "val"
    labels: str = "auto"
    classes: str = ""
    masks: str = ""
    white: float = 0.0
    scenes: SceneSettings = field(default_factory=SceneSettings)


@dataclass(frozen=True)
class Recipe:
    """about: the evidence (command, hardware, time, measured mIoU), or 'not yet measured'.
    reference: with the quirks of the reference code that change numbers (see `with_quirks`), to compare with it.
    bootstrap, bootstrap_refine: training of the network that makes the boundary labels, and the CRF that makes them of
    its CAMs; used where train_cam.method is `sbnet`.
    """

    name: str
    about: str = ""
    reference: bool = False
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    runtime: Runtime = field(default_factory=Runtime)
    bootstrap: train_cam.Settings = field(default_factory=lambda: train_cam.Settings(method="seam"))
    train_cam: train_cam.Settings = field(default_factory=train_cam.Settings)
    infer_cam: infer_cam.Settings = field(default_factory=infer_cam.Settings)
    refine: RefineSettings = field(default_factory=RefineSettings)
    bootstrap_refine: RefineSettings = field(default_factory=RefineSettings)
    train_affinity: train_affinity.Settings = field(default_factory=train_affinity.Settings)
    random_walk: random_walk.Settings = field(default_factory=random_walk.Settings)
    train_segmenter: train_segmenter.Settings = field(default_factory=train_segmenter.Settings)
    predict: predict.Settings = field(default_factory=predict.Settings)

    @property
    def absent(self) -> Absent:
        """How the mean takes a class that is in neither prediction nor truth: the reference counts it as IoU 0."""
        return "zero" if self.reference else "nan"

    def with_quirks(self) -> Recipe:
        """The settings that the stages get: under `reference`, those that its code amounts to."""
        if not self.reference:
            return self
        return replace(
            self,
            bootstrap=replace(_own_momentum(self.bootstrap), canny="normalized"),
            train_cam=replace(_own_momentum(self.train_cam), canny="normalized"),
            train_affinity=_own_momentum(self.train_affinity),
        )

    def to_yaml(self) -> str:
        """Every value, in the order above; `load_recipe` gives the same recipe back."""
        return yaml.safe_dump(plain(self), sort_keys=False, width=100)

    def write(self, path: Path) -> None:
        write_bytes(path, self.to_yaml().encode())


def _own_momentum(settings: Training) -> Training:
    """As in the reference's optimiser, where the weight decay stands in momentum's place: 0.0005 instead of 0.9."""
    return replace(settings, momentum=settings.weight_decay)


def load_recipe(name_or_path: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """The packaged recipe of that name, or that of a YAML file or run folder; `overrides` come on top, such
    as `["train_cam.epochs=3"]`, `{"train_cam.epochs": 3}` or `{"train_cam": {"epochs": 3}}`.

    Raises SBNetError for an unknown recipe, key or value, naming file, line, and what it should be.
    """
    recipe = read_values(name_or_path)
    if isinstance(overrides, Mapping):
        for key, value in _leaves(overrides):
            recipe.set(key, value, place="")
    else:
        for assignment in overrides:
            recipe.set(*source.split(assignment), place=f"'{assignment}': ")
    loaded: Recipe = build(Recipe, recipe.values, recipe.where)
    check_values(loaded, recipe.where)
    return loaded


def read_values(name_or_path: str | Path) -> source.Source:
    """The values of a recipe's file and its bases, not yet typed, with what they leave out of the bootstrap."""
    found = source.read(source.find(str(name_or_path)))
    _fill_bootstrap(found.values)
    return found


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings, so that a section is merged, as in a file with `base:`."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _fill_bootstrap(values: dict[str, Any]) -> None:
    """What a recipe's file leaves out of the bootstrap: the method is SEAM, the CRF is as the file has it for `refine`.

    Overrides come after: `refine.mask_alpha=9` leaves the boundary labels, and so the trained CAM network, as they are.
    """
    for section, fallback in (
        ("bootstrap", {"method": "seam"}),
        ("bootstrap_refine", values.get("refine", {})),
    ):
        own = values.get(section, {})
        if isinstance(own, dict) and isinstance(fallback, dict):
            values[section] = {**fallback, **own}
