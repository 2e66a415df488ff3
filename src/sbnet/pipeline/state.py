"""What is known of a step on disk: done, half done, stale or new; and why it is stale."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sbnet.config.recipe import Recipe
from sbnet.data.io.files import read_json, stored_json, write_json
from sbnet.pipeline.data import RunData
from sbnet.pipeline.folder import aside, put_aside, put_back, remove
from sbnet.pipeline.graph import Step
from sbnet.pipeline.parts import Parts, difference, fingerprint, kept_ids, parts_of
from sbnet.settings import plain
from sbnet.steps.context import Context
from sbnet.steps.spec import Kind


@dataclass(frozen=True)
class Status:
    """state of a step's folder; parts: what it would be made from now; reason: what changed, where stale.
    done: its done.json, where it is done. ids: those of its outputs that stay what they were, by kind.
    """

    state: Literal["done", "half done", "stale", "new"]
    parts: Parts
    reason: str = ""
    done: Mapping[str, Any] | None = None
    ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """What keeps the step from being read, in words; '' where it is done."""
        if self.done is not None:
            return ""
        words = "not done" if self.state == "new" else self.state
        return f"{words}: {self.reason}" if self.reason else words


class RunState:
    """Reads and writes the `state.json` and `done.json` of a run's steps.

    A step is current when its function's name, settings, backbone, images and the very outputs that it read are those of
    now. Each output has an id, so that a step that ran again makes its readers stale; an output keeps its id where only a
    setting changed that it does not depend on (`StepSpec.only`).
    """

    def __init__(self, folder: Path, steps: Sequence[Step], recipe: Recipe, data: RunData) -> None:
        self.folder, self.steps, self.recipe, self.data = folder, list(steps), recipe, data
        self._statuses: dict[str, Status] = {}  # until a step's folder changes
        self._own: dict[str, Parts] = {}
        for step in self.steps:  # the settings are again those of the training that was to be replaced
            waiting = stored_json(aside(folder / step.name) / "done.json")
            if waiting and waiting.get("fingerprint") == fingerprint(self._parts(step)):
                put_back(folder / step.name)

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def inputs(self, step: Step) -> dict[str, Path]:
        """The name under which the step reads an artifact -> where that is."""
        return {name: self.folder / provider / kind.place for name, (provider, kind) in step.inputs.items()}

    def context(self, step: Step) -> Context:
        return Context(
            folder=self.folder / step.name,
            inputs=self.inputs(step),
            train=self.data.train,
            val=self.data.val,
            backbone=step.spec.backbone or self.recipe.backbone,
            runtime=self.recipe.runtime,
            predict=plain(self.recipe.predict),
            recipe=self.recipe.plain(),
            family=step.spec.trains,
            key=step.spec.key,
        )

    def status(self, step: Step) -> Status:
        """The step's state now; its input steps are looked at first."""
        if step.name not in self._statuses:
            self._statuses[step.name] = self._look(step)
        return self._statuses[step.name]

    def _look(self, step: Step) -> Status:
        parts = self._parts(step)
        folder = self.folder / step.name
        begun, done = stored_json(folder / "state.json"), stored_json(folder / "done.json")
        made_from = begun.get("made_from")
        if not folder.exists():
            return Status("new", parts)
        if not isinstance(made_from, dict):
            return Status("stale", parts, "its state.json is missing or broken")
        if made_from != parts:
            kept = kept_ids(step.spec, made_from, parts, begun["ids"])
            return Status("stale", parts, difference(made_from, parts), ids=kept)
        if done.get("fingerprint") == fingerprint(parts):
            return Status("done", parts, done=done)
        return Status("half done", parts)

    def _parts(self, step: Step) -> Parts:
        """All that decides what the step makes, as it would be in state.json."""
        if step.name not in self._own:  # files are read once
            runtime, images = self.recipe.runtime, self.data.fingerprints[step.spec.images]
            self._own[step.name] = parts_of(
                step.spec, seed=runtime.seed, precision=runtime.precision, images=images
            )
        inputs = {name: self._id(*provider) for name, provider in step.inputs.items()}
        return {**self._own[step.name], "inputs": inputs}

    def _id(self, name: str, kind: Kind) -> str:
        """Of a step's output; '' where that is not done."""
        done = self.status(self.step(name)).done
        return str(done["ids"].get(kind.name, "")) if done else ""

    def begin(self, step: Step, status: Status) -> None:
        """Make the step's folder ready: a half-done one stays, a stale one is emptied."""
        self._statuses.clear()
        folder = self.folder / step.name
        if status.state == "half done":
            return
        if status.state == "stale" and step.spec.trains:
            put_aside(folder)
        elif status.state == "stale":
            remove(folder)
        ids = {kind.name: status.ids.get(kind.name) or secrets.token_hex(8) for kind in step.spec.writes}
        write_json(folder / "state.json", {"made_from": status.parts, "ids": ids, "seconds": 0.0})

    def take_back(self, step: Step) -> None:
        """After a refusal: where nothing was made yet, the finished training that was to be replaced."""
        self._statuses.clear()
        folder = self.folder / step.name
        if {path.name for path in folder.iterdir()} == {"state.json"} and aside(folder).exists():
            put_back(folder)

    def add_seconds(self, step: Step, seconds: float) -> float:
        """Count working time of this step; gives the sum over interruptions."""
        path = self.folder / step.name / "state.json"
        state = read_json(path)
        state["seconds"] = round(state["seconds"] + seconds, 2)
        write_json(path, state)
        return float(state["seconds"])

    def finish(self, step: Step, status: Status, seconds: float, facts: Mapping[str, Any] | None) -> None:
        """Written last: the step is done."""
        self._statuses.clear()
        folder = self.folder / step.name
        done = {
            "fingerprint": fingerprint(status.parts),
            "ids": read_json(folder / "state.json")["ids"],
            "seconds": seconds,
            "device": _device_name(self.recipe),
            "facts": dict(facts or {}),
        }
        write_json(folder / "done.json", done)
        remove(aside(folder))


def _device_name(recipe: Recipe) -> str:
    """`cpu`, or `cuda (NVIDIA H100 ...)`."""
    import torch

    device = recipe.runtime.torch_device()
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
