"""What is known of a step on disk: done, half done, stale or new; and why it is stale."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sbnet.config.recipe import Recipe
from sbnet.data.io.files import read_json, write_json
from sbnet.errors import SBNetError
from sbnet.pipeline.data import RunData, files_fingerprint
from sbnet.pipeline.folder import aside, put_aside, put_back, remove
from sbnet.pipeline.graph import Step
from sbnet.settings import Settings, outside, plain
from sbnet.steps.spec import Kind

State = Literal["done", "half done", "stale", "new"]


@dataclass(frozen=True)
class Status:
    """state of a step's folder; parts: what it would be made from now; reason: what changed, where stale.
    done: its done.json, where current. ids: those of its outputs that stay what they were, by kind.
    """

    state: State
    parts: dict[str, Any]
    reason: str = ""
    done: Mapping[str, Any] | None = None
    ids: Mapping[str, str] = field(default_factory=dict)


class RunState:
    """Reads and writes the `state.json` and `done.json` of a run's steps.

    A step is current when its function's name, settings, backbone, images and the very outputs that it read are those of
    now. Each output has an id, so that a step that ran again makes its readers stale; an output keeps its id where only a
    setting changed that it does not depend on (`StepSpec.only`).
    """

    def __init__(self, folder: Path, steps: Sequence[Step], recipe: Recipe, data: RunData) -> None:
        self.folder, self.steps, self.recipe, self.data = folder, list(steps), recipe, data
        self._read_files: dict[tuple[Path, ...], str] = {}
        for step in self.steps:  # the settings are again those of the training that was to be replaced
            waiting = aside(folder / step.name)
            if waiting.exists() and _read(waiting / "done.json").get("fingerprint") == _fingerprint(
                self._parts(step)
            ):
                put_back(folder / step.name)

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def status(self, step: Step) -> Status:
        """The step's state now; its input steps are looked at first."""
        parts = self._parts(step)
        folder = self.folder / step.name
        begun, done = _read(folder / "state.json"), _read(folder / "done.json")
        made_from = begun.get("made_from")
        if not folder.exists():
            return Status("new", parts)
        if not isinstance(made_from, dict):
            return Status("stale", parts, "its state.json is missing or broken")
        if made_from != parts:
            kept = _kept_ids(step, made_from, parts, begun.get("ids"))
            return Status("stale", parts, _difference(made_from, parts), ids=kept)
        if done.get("fingerprint") == _fingerprint(parts):
            return Status("done", parts, done=done)
        return Status("half done", parts)

    def _parts(self, step: Step) -> dict[str, Any]:
        """All that decides what the step makes, as it would be in state.json."""
        recipe, spec, network = self.recipe, step.spec, taken(step.spec.settings)
        settings = {"network": "file"} if network else _settings(spec.settings, spec.neutral)
        parts: dict[str, Any] = {"step": spec.run, "settings": settings}
        files = _outside(_named(step))
        if files:
            parts["files"] = self._files(files)
        if spec.trains:
            parts["network"] = spec.trains
        if spec.uses_backbone and not network and spec.backbone is not None:
            parts["backbone"], parts["seed"] = _settings(spec.backbone), recipe.runtime.seed
        if spec.network:
            parts["precision"] = recipe.runtime.precision
        truth = spec.trains and getattr(spec.settings, "labels", "") == "truth"
        parts["images"] = self.data.fingerprints[spec.images] + (
            self.data.fingerprints["truth"] if truth else ""
        )
        parts["inputs"] = {name: self._id(*provider) for name, provider in step.inputs.items()}
        return parts

    def _id(self, name: str, kind: Kind) -> str:
        """Of a step's output; '' where that is not done."""
        status = self.status(self.step(name))
        return str((status.done or {}).get("ids", {}).get(kind.name, ""))

    def _files(self, paths: Sequence[Path]) -> str:
        """Fingerprint of files outside the run; they are read once."""
        key = tuple(paths)
        if key not in self._read_files:
            self._read_files[key] = files_fingerprint(paths)
        return self._read_files[key]

    def begin(self, step: Step, status: Status) -> None:
        """Make the step's folder ready: a half-done one stays, a stale one is emptied."""
        folder = self.folder / step.name
        if status.state == "stale" and step.spec.trains:
            put_aside(folder)
        elif status.state == "stale":
            remove(folder)
        if status.state != "half done":
            ids = {kind.name: status.ids.get(kind.name) or secrets.token_hex(8) for kind in step.spec.writes}
            write_json(
                folder / "state.json",
                {
                    "fingerprint": _fingerprint(status.parts),
                    "settings": plain(step.spec.settings),
                    "made_from": status.parts,
                    "ids": ids,
                    "seconds": 0.0,
                },
            )

    def take_back(self, step: Step) -> None:
        """After a refusal: where nothing was made yet, the finished training that was to be replaced."""
        folder = self.folder / step.name
        if {path.name for path in folder.iterdir()} == {"state.json"} and aside(folder).exists():
            put_back(folder)

    def add_seconds(self, step: Step, seconds: float) -> float:
        """Count working time of this step; gives the sum over interruptions."""
        path = self.folder / step.name / "state.json"
        state = read_json(path)
        state["seconds"] = round(float(state.get("seconds", 0.0)) + seconds, 2)
        write_json(path, state)
        return float(state["seconds"])

    def finish(self, step: Step, status: Status, seconds: float, facts: Mapping[str, Any]) -> None:
        """Written last: the step is done."""
        done = {
            "fingerprint": _fingerprint(status.parts),
            "ids": read_json(self.folder / step.name / "state.json")["ids"],
            "seconds": seconds,
            "device": device_name(self.recipe),
            "facts": dict(facts or {}),
        }
        write_json(self.folder / step.name / "done.json", done)
        remove(aside(self.folder / step.name))

    def artifact(self, name: str, kind: Kind) -> Path:
        """Where a step's output of this kind is."""
        return self.folder / name / kind.place


def check_apart(folder: Path, recipe: Recipe, steps: Sequence[Step]) -> None:
    """Raises SBNetError where a step is to take what lies in its own folder, which is emptied before it starts."""
    for step in steps:
        own = (folder / step.name).resolve()
        inside = [path for path in _outside(_named(step)) if path.resolve().is_relative_to(own)]
        if inside:
            raise SBNetError(
                f"{inside[0]} is in the folder of the step that would take it, {step.name}, and would be deleted: "
                "copy or move it out of the run, or choose another --out"
            )


def not_done(status: Status) -> str | None:
    """What keeps a step from being read, in words; None where it is done."""
    if status.state == "done":
        return None
    words = "not done" if status.state == "new" else status.state
    return f"{words}: {status.reason}" if status.reason else words


def device_name(recipe: Recipe) -> str:
    """`cpu`, or `cuda (NVIDIA H100 ...)`."""
    import torch

    device = recipe.runtime.torch_device()
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def taken(settings: Settings) -> str:
    """The file of a network trained elsewhere, which a step uses instead of training one; '' for none."""
    return str(getattr(settings, "network", ""))


def _named(step: Step) -> list[tuple[str, Settings]]:
    """The settings that may name files of this step, with their dotted keys."""
    spec = step.spec
    own: list[tuple[str, Settings]] = [(spec.key, spec.settings)]
    if spec.uses_backbone and not taken(spec.settings) and spec.backbone is not None:
        own.append(("backbone", spec.backbone))
    return own


def _outside(named: Iterable[tuple[str, Settings]]) -> list[Path]:
    """The files that settings name, and those in the folders that they name."""
    paths: list[Path] = []
    for section, settings in named:
        for key, path, mark in outside(settings):
            if mark.kind != "folder" and path.is_file():
                paths.append(path)
            elif mark.kind != "folder":
                raise SBNetError(f"{section}.{key}: there is no file {path}; check the path")
            elif path.is_dir():
                paths += sorted(
                    one for one in path.iterdir() if one.suffix.lower() in (".png", ".npz", ".npy")
                )
            else:
                raise SBNetError(f"{section}.{key}: there is no folder {path}; check the path")
    return paths


def _settings(settings: Settings, neutral: Sequence[str] = ()) -> dict[str, Any]:
    """Plain settings. Where files are does not count; what is in them does, and is among the parts."""
    kept = {key: value for key, value in plain(settings).items() if key not in neutral}
    for key, _, mark in outside(settings):
        if key in kept:
            kept[key] = mark.kind
    return kept


def _kept_ids(step: Step, before: Mapping[str, Any], now: Mapping[str, Any], ids: object) -> dict[str, str]:
    """The ids of outputs that do not depend on what changed."""
    if not isinstance(ids, dict):
        return {}
    kept = {}
    for kind in step.spec.writes:
        others = {name for one, names in step.spec.only.items() if one != kind for name in names}
        if _without(before, others) == _without(now, others):
            kept[kind.name] = str(ids.get(kind.name, ""))
    return kept


def _without(parts: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The parts without the settings of these names."""
    settings = {key: value for key, value in dict(parts.get("settings", {})).items() if key not in names}
    return {**parts, "settings": settings}


def _fingerprint(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where the file is missing or broken, which counts as not made."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What changed, in words: `epochs 4 -> 6`. Of another method, the settings that both have."""
    changes = []
    same_method = all(before.get(key) == now.get(key) for key in ("step", "network"))
    for key in now.keys() | before.keys():
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if key == "step":
            changes.append("the method changed")
        elif isinstance(old, dict) and isinstance(new, dict) and key != "inputs":
            names = {**old, **new} if same_method else old.keys() & new.keys()
            changes += [f"{k} {old.get(k)} -> {new.get(k)}" for k in names if old.get(k) != new.get(k)]
        elif key == "inputs":
            changes.append("its inputs changed")
        elif key in ("images", "files"):
            changes.append(f"the {key} changed")
        else:
            changes.append(f"{key} {old} -> {new}")
    return ", ".join(sorted(changes))
