"""What is known of a step on disk: done, half done, stale or new; and why it is stale."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sbnet.data.io.files import read_json, write_json
from sbnet.errors import SBNetError
from sbnet.pipeline.data import RunData, files_fingerprint
from sbnet.pipeline.folder import aside, put_aside, put_back, remove
from sbnet.pipeline.steps import Step
from sbnet.config.convert import plain
from sbnet.config.recipe import Recipe

State = Literal["done", "half done", "stale", "new"]
# Settings that older run folders do not know -> the value that they were made with: it counts as not set.
AS_BEFORE = {"jitter": True, "dilate": True, "head_rate": 10.0}
# Setting that names a folder -> its stage.
FOLDERS = {"boundaries": "train_cam", "scores": "infer_cam", "masks": "random_walk"}
WITHOUT_EFFECT = ("checkpoint_every",)  # settings that do not change what a stage makes
UNREAD = {
    "infer_cam": ("boundaries",),
    "refine": ("mask_alpha",),
}  # those of which no later step sees anything


@dataclass(frozen=True)
class Status:
    """state of a step's folder; parts: what it would be made from now; reason: what changed, where stale.
    done: its done.json, where current. id: that of its output once made, '' for a new one.
    """

    state: State
    parts: dict[str, Any]
    reason: str = ""
    done: Mapping[str, Any] | None = None
    id: str = ""


class RunState:
    """Reads and writes the `state.json` and `done.json` of a run's steps.

    A step is current when its stage, settings, network, photos and the very outputs that it read are those of
    now. Each output has an `id`, so that a step redone with equal settings makes its readers stale; one redone
    for a setting that its readers do not see keeps its id.
    """

    def __init__(self, folder: Path, steps: list[Step], recipe: Recipe, data: RunData) -> None:
        self.folder, self.steps, self.recipe, self.data = folder, steps, recipe, data
        self._read_files: dict[tuple[str, ...], str] = {}
        for step in steps:  # the settings are those of the training that was to be replaced again
            waiting = aside(folder / step.name)
            if waiting.exists() and _read(waiting / "done.json").get("fingerprint") == _fingerprint(
                self._parts(step)
            ):
                put_back(folder / step.name)

    def status(self, step: Step) -> Status:
        """The step's state now; its input steps are looked at first."""
        parts = self._parts(step)
        folder = self.folder / step.name
        begun, done = _read(folder / "state.json"), _read(folder / "done.json")
        made_from = begun.get("made_from")
        if not folder.exists():
            return Status("new", parts)
        if made_from is None:
            return Status("stale", parts, "its state.json is missing or broken")
        if made_from != parts:
            unread = () if self._masks_are_read(step) else UNREAD.get(parts["stage"], ())
            same = _without(made_from, unread) == _without(parts, unread)
            return Status(
                "stale", parts, _difference(made_from, parts), id=begun.get("id", "") if same else ""
            )
        if done.get("fingerprint") == _fingerprint(parts):
            return Status("done", parts, done=done)
        return Status("half done", parts)

    def _parts(self, step: Step) -> dict[str, Any]:
        """All that decides what the step makes, as it would stand in state.json."""
        recipe, runtime = self.recipe, self.recipe.runtime
        idle = {*WITHOUT_EFFECT, *step.idle}
        settings = _set({key: value for key, value in plain(step.settings).items() if key not in idle})
        parts: dict[str, Any] = {"stage": step.module.__name__.rpartition(".")[2], "settings": settings}
        if step.trains or settings.get("scores") or settings.get("masks"):
            parts["files"] = self._files(recipe.model.weights if step.trains else "", settings)
            parts["settings"] = _without_places(settings)
        if step.trains:
            parts["model"], parts["seed"] = _without_places(_set(plain(recipe.model))), runtime.seed
        if step.network:
            parts["precision"] = runtime.precision
        truth = step.trains and settings.get("labels") == "truth"
        parts["photos"] = self.data.fingerprints[step.photos] + (
            self.data.fingerprints["truth"] if truth else ""
        )
        parts["inputs"] = {
            name: _read(self.folder / name / "done.json").get("id", "")
            if self.status(self.step(name)).state == "done"
            else ""
            for name in step.inputs.values()
        }
        return parts

    def _masks_are_read(self, step: Step) -> bool:
        """Whether a later step reads the masks of this CRF step, and not its labels alone."""
        return step.name == "bootstrap_refine" and self.recipe.train_cam.boundary_labels == "crf"

    def _files(self, weights: str, settings: Mapping[str, Any]) -> str:
        """Fingerprint of the files and folders outside the run that settings name; they are read once."""
        named = (weights, *(str(settings.get(key, "")) for key in ("weights", *FOLDERS, "network")))
        if named not in self._read_files:
            self._read_files[named] = files_fingerprint(_outside(weights, settings))
        return self._read_files[named]

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def begin(self, step: Step, status: Status) -> None:
        """Make the step's folder ready: a half-done one stays, a stale one is emptied."""
        folder = self.folder / step.name
        if status.state == "stale" and step.trains:
            put_aside(folder)
        elif status.state == "stale":
            remove(folder)
        if status.state != "half done":
            write_json(
                folder / "state.json",
                {
                    "fingerprint": _fingerprint(status.parts),
                    "settings": plain(step.settings),
                    "made_from": status.parts,
                    "id": status.id or secrets.token_hex(8),
                    "seconds": 0.0,
                },
            )

    def take_back(self, step: Step) -> None:
        """After a refusal: where nothing was made anew yet, the finished training that was to be replaced."""
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
            "id": read_json(self.folder / step.name / "state.json")["id"],
            "seconds": seconds,
            "device": device_name(self.recipe),
            "facts": dict(facts),
        }
        write_json(self.folder / step.name / "done.json", done)
        remove(aside(self.folder / step.name))


def check_apart(folder: Path, recipe: Recipe, steps: Sequence[Step]) -> None:
    """Raises SBNetError where a step is to take what lies in its own folder, which is emptied before it begins."""
    for step in steps:
        own = (folder / step.name).resolve()
        read = {name: value for name, value in plain(step.settings).items() if name not in step.idle}
        named = _outside(recipe.model.weights if step.trains else "", read)
        inside = [path for path in named if path.resolve().is_relative_to(own)]
        if inside:
            raise SBNetError(
                f"{inside[0]} lies in the folder of the step that is to take it, {step.name}, and would be deleted: "
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


def _outside(weights: str, settings: Mapping[str, Any]) -> list[Path]:
    """The files that settings name, and those in the folders that they name."""
    given = (weights, str(settings.get("weights", "")))
    paths = [Path(value[5:]) for value in given if value.startswith("file:")]
    if settings.get("network"):
        paths.append(Path(settings["network"]))
    for key, stage in FOLDERS.items():
        if not isinstance(settings.get(key), str) or not settings[key]:  # infer_cam has a switch of this name
            continue
        folder = Path(settings[key])
        if not folder.is_dir():
            raise SBNetError(f"{stage}.{key}: there is no folder {folder}; leave it empty to have them made")
        paths += sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".npz", ".npy"))
    return paths


def _without_places(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where files lie does not count; what is in them does, and is in the parts besides."""
    kept = dict(settings)
    if str(kept.get("weights", "")).startswith("file:"):
        kept["weights"] = "file"
    if kept.get("network"):
        kept["network"] = "file"
    for key in FOLDERS:
        if isinstance(kept.get(key), str) and kept[key]:
            kept[key] = "folder"
    return kept


def _set(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those at their value of AS_BEFORE."""
    return {key: value for key, value in settings.items() if key not in AS_BEFORE or value != AS_BEFORE[key]}


def _without(parts: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
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
    """What changed, in words: `epochs 4 -> 6`."""
    changes = []
    for key in now.keys() | before.keys():
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if key in ("settings", "model") and isinstance(old, dict) and isinstance(new, dict):
            old, new = {**AS_BEFORE, **old}, {**AS_BEFORE, **new}
            changes += [
                f"{k} {old.get(k)} -> {new.get(k)}" for k in {**old, **new} if old.get(k) != new.get(k)
            ]
        elif key == "inputs":
            changes.append("its inputs changed")
        elif key in ("photos", "files"):
            changes.append(f"the {key} changed")
        else:
            changes.append(f"{key} {old} -> {new}")
    return ", ".join(sorted(changes))
