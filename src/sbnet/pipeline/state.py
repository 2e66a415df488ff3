"""What is known of a step on disk: done, half done, stale or new; and why it is stale."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sbnet.config.recipe import Recipe
from sbnet.data.io.files import read_json, stored_json, write_json
from sbnet.errors import SBNetError
from sbnet.pipeline.data import RunData, files_fingerprint
from sbnet.pipeline.folder import aside, put_aside, put_back, remove
from sbnet.pipeline.graph import Step
from sbnet.settings import Outside, Settings, outside, plain
from sbnet.steps.context import Context
from sbnet.steps.spec import Kind, StepSpec

TAKEN = (".png", ".npz", ".npy")  # files that count in a folder that settings name
CHANGED = {
    "step": "the method changed",
    "inputs": "its inputs changed",
    "images": "the images changed",
    "files": "the files changed",
}


@dataclass(frozen=True)
class Status:
    """state of a step's folder; parts: what it would be made from now; reason: what changed, where stale.
    done: its done.json, where it is done. ids: those of its outputs that stay what they were, by kind.
    """

    state: Literal["done", "half done", "stale", "new"]
    parts: dict[str, Any]
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
        self._files: dict[tuple[Path, ...], str] = {}
        for step in self.steps:  # the settings are again those of the training that was to be replaced
            waiting = stored_json(aside(folder / step.name) / "done.json")
            if waiting and waiting.get("fingerprint") == _fingerprint(self._parts(step)):
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
            kept = _kept_ids(step.spec, made_from, parts, begun["ids"])
            return Status("stale", parts, _difference(made_from, parts), ids=kept)
        if done.get("fingerprint") == _fingerprint(parts):
            return Status("done", parts, done=done)
        return Status("half done", parts)

    def _parts(self, step: Step) -> dict[str, Any]:
        """All that decides what the step makes, as it would be in state.json."""
        spec, images = step.spec, self.data.fingerprints[step.spec.images]
        settings = {"network": "file"} if spec.taken else _settings(spec.settings, spec.neutral)
        parts: dict[str, Any] = {"step": spec.run, "settings": settings}
        if files := tuple(_files(spec)):
            if files not in self._files:
                self._files[files] = files_fingerprint(files)
            parts["files"] = self._files[files]
        if spec.trains:
            parts["network"] = spec.trains
        if spec.starts_from:
            parts["backbone"], parts["seed"] = _settings(spec.starts_from), self.recipe.runtime.seed
        if spec.network:
            parts["precision"] = self.recipe.runtime.precision
        parts["images"] = images.images + (images.truth if spec.truth else "")
        parts["inputs"] = {name: self._id(*provider) for name, provider in step.inputs.items()}
        return parts

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
            "fingerprint": _fingerprint(status.parts),
            "ids": read_json(folder / "state.json")["ids"],
            "seconds": seconds,
            "device": _device_name(self.recipe),
            "facts": dict(facts or {}),
        }
        write_json(folder / "done.json", done)
        remove(aside(folder))


def check_apart(folder: Path, steps: Sequence[Step]) -> None:
    """Raises SBNetError where a step is to take what lies in its own folder, which is emptied before it starts."""
    for step in steps:
        own = (folder / step.name).resolve()
        for path in _files(step.spec):
            if path.resolve().is_relative_to(own):
                raise SBNetError(
                    f"{path} is in the folder of the step that would take it, {step.name}, and would be deleted: "
                    "copy or move it out of the run, or choose another --out"
                )


def _device_name(recipe: Recipe) -> str:
    """`cpu`, or `cuda (NVIDIA H100 ...)`."""
    import torch

    device = recipe.runtime.torch_device()
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def _files(spec: StepSpec) -> Iterator[Path]:
    """The files that the step's settings name, and those in the folders that they name. Of a step that takes a network
    over, that alone. Raises SBNetError for what is not there.
    """
    for key, path, mark in _named(spec):
        if mark.kind == "folder" and path.is_dir():
            yield from sorted(one for one in path.iterdir() if one.suffix.lower() in TAKEN)
        elif mark.kind != "folder" and path.is_file():
            yield path
        else:
            what = "folder" if mark.kind == "folder" else "file"
            raise SBNetError(f"{key}: there is no {what} {path}; check the path")


def _named(spec: StepSpec) -> Iterator[tuple[str, Path, Outside]]:
    """Dotted key, path and mark of what the settings of a step name."""
    for key, path, mark in outside(spec.settings):
        if not spec.taken or path == Path(spec.taken):
            yield f"{spec.key}.{key}", path, mark
    for _, path, mark in outside(spec.starts_from) if spec.starts_from else ():
        yield spec.weights, path, mark


def _settings(settings: Settings, neutral: Container[str] = ()) -> dict[str, Any]:
    """Plain settings. Where files are does not count; what is in them does, and is among the parts."""
    marks = {key: mark.kind for key, _, mark in outside(settings)}
    return {key: marks.get(key, value) for key, value in plain(settings).items() if key not in neutral}


def _kept_ids(
    spec: StepSpec, before: Mapping[str, Any], now: Mapping[str, Any], ids: Mapping[str, str]
) -> dict[str, str]:
    """The ids of outputs that do not depend on what changed."""
    kept = {}
    for kind in spec.writes:
        others = {name for one, names in spec.only.items() if one != kind for name in names}
        if _without(before, others) == _without(now, others):
            kept[kind.name] = ids.get(kind.name, "")
    return kept


def _without(parts: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The parts without the settings of these names."""
    settings = {key: value for key, value in parts["settings"].items() if key not in names}
    return {**parts, "settings": settings}


def _fingerprint(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What changed, in words: `epochs 4 -> 6`. Of another method, the settings that both have."""
    changes = []
    same_method = all(before.get(key) == now.get(key) for key in ("step", "network"))
    for key in now.keys() | before.keys():
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if key in CHANGED:
            changes.append(CHANGED[key])
        elif isinstance(old, dict) and isinstance(new, dict):
            names = {**old, **new} if same_method else old.keys() & new.keys()
            changes += [f"{k} {old.get(k)} -> {new.get(k)}" for k in names if old.get(k) != new.get(k)]
        else:
            changes.append(f"{key} {old} -> {new}")
    return ", ".join(sorted(changes))
