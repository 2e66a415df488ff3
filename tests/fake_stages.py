"""Stages that take no time: they write what the real ones would, made from the true masks, and note their calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sbnet.steps.workspace import Workspace

from sbnet.config.recipe import Recipe, load_recipe
from sbnet.data.io.files import read_label, write_label, write_scores
from sbnet.data.synthetic.scenes import make_scenes
from sbnet.methods.affinitynet import train as train_affinity
from sbnet.methods.cam import infer as infer_cam
from sbnet.methods.cam import train as train_cam
from sbnet.steps import crf as refine
from sbnet.steps import predict, report, train_segmenter
from sbnet.steps import propagate as random_walk

STEPS = [
    "bootstrap_train_cam",
    "bootstrap_infer_cam",
    "bootstrap_refine",
    "train_cam",
    "infer_cam",
    "refine",
    "train_affinity",
    "random_walk",
    "train_segmenter",
    "predict",
]


class FakeStages:
    """ran: names of the steps that ran, in order. before: step -> called with its workspace when it begins."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[str] = []
        self.before: dict[str, Callable[[Workspace], Any]] = {}
        for module in (train_cam, train_affinity, train_segmenter):
            monkeypatch.setattr(module, "run", self._stage(_train))
        monkeypatch.setattr(infer_cam, "run", self._stage(_scores))
        for module in (refine, random_walk, predict):
            monkeypatch.setattr(module, "run", self._stage(_masks))
        monkeypatch.setattr(report, "write", _report)

    def _stage(self, write: Callable[[Workspace, str], None]) -> Callable[[Any, Workspace], dict[str, Any]]:
        def run(settings: Any, workspace: Workspace) -> dict[str, Any]:
            name = workspace.folder.name
            self.ran.append(name)
            for source in workspace.inputs.values():
                assert json.loads((source / "done.json").read_text())["fingerprint"]
            if name in self.before:
                self.before[name](workspace)
            write(workspace, name)
            return {"photos": len(workspace.train)}

        return run

    def take(self) -> list[str]:
        """The steps that ran since the last call."""
        ran, self.ran = self.ran, []
        return ran


def _train(workspace: Workspace, name: str) -> None:
    (workspace.folder / "model.safetensors").write_bytes(b"a model")


def _scores(workspace: Workspace, name: str) -> None:
    for photo in workspace.train:
        truth = read_label(photo.mask)
        scores = np.stack([(truth == index) * 0.3 for index in photo.classes])
        write_scores(workspace.folder / "scores" / f"{photo.name}.npz", scores, np.array(photo.classes))


def _masks(workspace: Workspace, name: str) -> None:
    for photo in (workspace.val or ()) if name == "predict" else workspace.train:
        truth = read_label(photo.mask)
        for folder in ("masks", "masks_crf", "labels"):
            write_label(workspace.folder / folder / f"{photo.name}.png", truth)


def _report(folder: Path, train: Any, val: Any) -> Path:
    (folder / "report.html").write_text("a page")
    return folder / "report.html"


def make_data(folder: Path) -> Path:
    """A small folder of the VOC layout with every class in it."""
    return make_scenes(folder, train=24, val=3, size=(48, 64), seed=0)


def small_recipe(data: Path, *overrides: str, name: str = "quickstart") -> Recipe:
    return load_recipe(name, ["data.source=voc", f"data.root={data}", *overrides])
