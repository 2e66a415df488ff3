"""What a step says of itself; the pipeline, the command line, sweeps and the report know no more. No PyTorch here."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sbnet.backbones.settings import BackboneSettings
from sbnet.engine.optimization import TrainSettings
from sbnet.errors import SBNetError
from sbnet.settings import Settings

Images = Literal["train", "val"]


@dataclass(frozen=True)
class Kind:
    """A kind of artifact. place: where a step's folder holds it, a folder of NAME + suffix or one file."""

    name: str
    place: str
    suffix: str = ""


SCORES = Kind("Scores", "scores", ".npz")
SEEDS = Kind("Seeds", "seeds", ".png")
BOUNDARIES = Kind("Boundaries", "boundaries", ".png")
PSEUDO_MASKS = Kind("PseudoMasks", "masks", ".png")
MASKS = Kind("Masks", "masks", ".png")
MODEL = Kind("Model", "model.safetensors")
ALWAYS = ("evaluate", "report")  # brought up to date by every run, never skipped
RESERVED = (*ALWAYS, "data", "sweeps")  # folders and verbs of a run that are no steps
UNKNOWN = "masks with unknown pixels"  # a fact of a step that took masks over: such masks cannot be measured
KINDS = (SCORES, SEEDS, BOUNDARIES, PSEUDO_MASKS, MASKS, MODEL)


@dataclass(frozen=True)
class Measure:
    """Output that is measured against ground truth. name: key in metrics.json. title: in tables. Scores are swept over
    background thresholds, masks compared. folder: in the step's folder, by default the kind's.
    """

    name: str
    title: str
    kind: Kind
    folder: str = ""

    @property
    def place(self) -> str:
        return self.folder or self.kind.place

    @property
    def swept(self) -> bool:
        return self.kind == SCORES


@dataclass(frozen=True)
class Picture:
    """A column of the report. place: file in the step's folder, `{}` for the image's name; with `read`, in what the
    step reads under that name. draw: a name of `sbnet.report.cells.DRAW`, called with `options`.
    threshold: the measure whose best background threshold outlines the map.
    """

    title: str
    caption: str
    place: str
    draw: str
    read: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    threshold: str = ""
    images: Images = "train"


@dataclass(frozen=True)
class StepSpec:
    """One step of a chain.

    name: its folder in the run, and its name for --from and --to. verb: by default the name, with hyphens.
    title: in the report. does: printed when it runs.
    run: `module:function` of (settings, context), loaded when the step starts; returns facts for done.json.
    reads: the name under which the step reads it -> kind; the nearest step before it that writes this kind provides it.
    images: the list it works on. truth: the setting by which it learns from their ground truth, such as `labels`; empty
    where it does not.
    trains: the family of the network that it trains, from the run's backbone, weights and seed; empty for none.
    network: whether it runs one at all, so that the precision counts.
    views: scales at which it sees an image, and whether it also sees mirror images: they bound an image's size.
    neutral: settings that do not change the result.
    only: settings that just one output depends on, by kind: who reads the other outputs stays up to date.
    variants: `module:function` of ([settings], context) giving image -> masks, where settings can be swept.
    key: where its settings are in the recipe, such as `crf`; in a method, within its own section, such as `train`.
    backbone: filled in from the method, and `weights`, the setting that names the backbone's first weights.
    """

    name: str
    title: str
    does: str
    run: str
    settings: Settings
    reads: Mapping[str, Kind] = field(default_factory=dict)
    writes: tuple[Kind, ...] = ()
    images: Images = "train"
    truth: str = ""
    trains: str = ""
    network: bool = True
    views: tuple[tuple[float, ...], bool] = ((1.0,), False)
    neutral: tuple[str, ...] = ("checkpoint_every",)
    only: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()
    pictures: tuple[Picture, ...] = ()
    variants: str = ""
    verb: str = ""
    key: str = ""
    backbone: BackboneSettings | None = None
    weights: str = ""

    @property
    def taken(self) -> str:
        """The file of a network made elsewhere, which it uses instead of training one; empty for none."""
        return self.settings.network if isinstance(self.settings, TrainSettings) else ""

    @property
    def starts_from(self) -> BackboneSettings | None:
        """The backbone, where it starts from that itself: to train it, or to run it without a model before it."""
        own = self.trains or (self.network and MODEL not in self.reads.values())
        return self.backbone if own and not self.taken else None

    def load(self) -> Callable[..., dict[str, Any]]:
        run: Callable[..., dict[str, Any]] = load_object(self.run)
        return run


def load_object(place: str) -> Any:
    """`module:name` -> the object."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def check_steps(specs: Iterable[StepSpec]) -> None:
    """Raises SBNetError for steps that cannot be: see the messages."""
    for spec in specs:
        if not isinstance(spec, StepSpec):
            raise SBNetError(f"one of them is {spec!r:.80}; expected a StepSpec")
        for kind in (*spec.reads.values(), *spec.writes, *spec.only, *(one.kind for one in spec.measures)):
            if kind not in KINDS:
                named = f"the artifact kind '{kind.name}'" if isinstance(kind, Kind) else repr(kind)
                raise SBNetError(
                    f"step '{spec.name}' names {named}, which is not a kind of sbnet.steps.spec; "
                    f"available: {', '.join(one.name for one in KINDS)}"
                )
        if not isinstance(spec.settings, Settings):
            raise SBNetError(
                f"the settings of step '{spec.name}' are {spec.settings!r:.80}; expected "
                "sbnet.settings.Settings"
            )
        if not re.fullmatch(r"[a-z][a-z0-9_]*", spec.name) or spec.name in RESERVED:
            raise SBNetError(
                f"a step cannot be named '{spec.name}'; use lower-case letters, digits and _, and none "
                f"of {', '.join(RESERVED)}"
            )
        for kind in (*(measure.kind for measure in spec.measures), *spec.only):
            if kind not in spec.writes:
                raise SBNetError(
                    f"step '{spec.name}' measures {kind.name}, or has settings for it, but does not write it"
                )
