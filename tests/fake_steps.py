"""Steps that take no time: they write what the real ones would, made from the ground truth, and note their calls."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbnet.config.recipe import Recipe, load_recipe
from sbnet.data.io.files import read_label, write_label, write_scores
from sbnet.data.synthetic.scenes import make_scenes
from sbnet.errors import SBNetError
from sbnet.pipeline import run
from sbnet.steps.context import Context
from sbnet.steps.spec import MODEL, SCORES, StepSpec, load_object

STEPS = [
    "bootstrap_train_cam",
    "bootstrap_infer_cam",
    "bootstrap_crf",
    "train_cam",
    "infer_cam",
    "crf",
    "train_affinity",
    "propagate",
    "train_segmenter",
    "predict",
]


class FakeSteps:
    """ran: names of the steps that ran, in order. before: step -> called with its context when it starts.
    instead: step -> called with its context in its place.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[str] = []
        self.before: dict[str, Callable[[Context], Any]] = {}
        self.instead: dict[str, Callable[[Context], dict[str, Any]]] = {}
        monkeypatch.setattr(StepSpec, "load", lambda spec: self._step(spec))
        monkeypatch.setattr(importlib.import_module("sbnet.pipeline.run"), "write_report", _report)

    def _step(self, spec: StepSpec) -> Callable[[Any, Context], dict[str, Any]]:
        assert callable(load_object(spec.run))

        def fake(settings: Any, context: Context) -> dict[str, Any]:
            assert settings == spec.settings
            assert context.folder.name == spec.name
            self.ran.append(spec.name)
            for name, kind in spec.reads.items():
                source = context.inputs[name]
                assert source.name == kind.place
                assert json.loads((source.parent / "done.json").read_text())["ids"][kind.name]
            if spec.name in self.before:
                self.before[spec.name](context)
            if spec.name in self.instead:
                return self.instead[spec.name](context)
            _write(spec, context)
            return {"images": len(context.train)}

        return fake

    def take(self) -> list[str]:
        """The steps that ran since the last call."""
        ran, self.ran = self.ran, []
        return ran


@contextmanager
def fake_steps() -> Iterator[FakeSteps]:
    """For fixtures of a wider scope than a test's."""
    with pytest.MonkeyPatch.context() as patch:
        yield FakeSteps(patch)


def _write(spec: StepSpec, context: Context) -> None:
    images = (context.val or ()) if spec.images == "val" else context.train
    for kind in spec.writes:
        target = context.folder / kind.place
        if kind == MODEL:
            target.write_bytes(b"a model")
            continue
        for image in images:
            truth = read_label(image.mask)
            if kind == SCORES:
                scores = np.stack([(truth == index) * 0.3 for index in image.classes])
                write_scores(target / f"{image.name}.npz", scores, np.array(image.classes))
            else:
                write_label(target / f"{image.name}.png", truth)
    for folder in {measure.folder for measure in spec.measures if measure.folder}:
        for image in images:
            write_label(context.folder / folder / f"{image.name}.png", read_label(image.mask))


def _report(folder: Path, **_: Any) -> Path:
    (folder / "report.html").write_text("a page")
    return folder / "report.html"


def make_data(folder: Path) -> Path:
    """A small folder of the VOC layout with every class in it."""
    return make_scenes(folder, train=24, val=3, size=(48, 64), seed=0)


def small_recipe(data: Path, *overrides: str, name: str = "quickstart") -> Recipe:
    return load_recipe(name, ["data.source=voc", f"data.root={data}", *overrides])


def refusal(*arguments: Any, **keywords: Any) -> str:
    """The message of the refused run."""
    with pytest.raises(SBNetError) as error:
        run(*arguments, **keywords)
    return str(error.value)
