"""What a step is made from: settings, files, backbone; what changed of it; and the outputs that do not depend on that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sbnet.errors import SBNetError
from sbnet.pipeline.data import Fingerprint, files_fingerprint
from sbnet.pipeline.graph import Step
from sbnet.settings import Outside, Settings, outside, plain
from sbnet.steps.spec import StepSpec

TAKEN = (".png", ".npz", ".npy")  # files that count in a folder that settings name
CHANGED = {
    "step": "the method changed",
    "inputs": "its inputs changed",
    "images": "the images changed",
    "files": "the files changed",
}
Parts = dict[str, Any]


def parts_of(spec: StepSpec, *, seed: int, precision: str, images: Fingerprint) -> Parts:
    """All that decides what the step makes, but for its inputs, as it would be in state.json."""
    parts: Parts = {"step": spec.run}
    parts["settings"] = {"network": "file"} if spec.taken else _settings(spec.settings, spec.neutral)
    if files := list(_files(spec)):
        parts["files"] = files_fingerprint(files)
    if spec.trains:
        parts["network"] = spec.trains
    if spec.starts_from:
        parts["backbone"], parts["seed"] = _settings(spec.starts_from), seed
    if spec.network:
        parts["precision"] = precision
    parts["images"] = images.images + (images.truth if spec.truth else "")
    return parts


def fingerprint(parts: Parts) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def difference(before: Parts, now: Parts) -> str:
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


def kept_ids(spec: StepSpec, before: Parts, now: Parts, ids: Mapping[str, str]) -> dict[str, str]:
    """The ids of outputs that do not depend on what changed."""
    kept = {}
    for kind in spec.writes:
        others = {name for one, names in spec.only.items() if one != kind for name in names}
        if _without(before, others) == _without(now, others):
            kept[kind.name] = ids.get(kind.name, "")
    return kept


def _without(parts: Parts, names: Container[str]) -> Parts:
    """The parts without the settings of these names."""
    return {**parts, "settings": {k: value for k, value in parts["settings"].items() if k not in names}}


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


def _files(spec: StepSpec) -> Iterator[Path]:
    """The files that a step's settings name, and those in the folders that they name. Raises SBNetError for what is not
    there.
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
    """Dotted key, path and mark of what the settings name: where a network is taken over, of that alone."""
    for key, path, mark in outside(spec.settings):
        if not spec.taken or path == Path(spec.taken):
            yield f"{spec.key}.{key}", path, mark
    for _, path, mark in outside(spec.starts_from) if spec.starts_from else ():
        yield spec.weights, path, mark


def _settings(settings: Settings, neutral: Container[str] = ()) -> dict[str, Any]:
    """Plain settings. Where files are does not count; what is in them does, and is among the parts."""
    marks = {key: mark.kind for key, _, mark in outside(settings)}
    return {key: marks.get(key, value) for key, value in plain(settings).items() if key not in neutral}
