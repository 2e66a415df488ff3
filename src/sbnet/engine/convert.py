"""Weights of other origin into model files of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sbnet import models
from sbnet.data.io.files import check_output
from sbnet.data.datasets.labels import VOC_CLASSES
from sbnet.errors import SBNetError
from sbnet.backbones.weights import LITES, fit_backbone, lite_state
from sbnet.engine.model_file import is_model, save_backbone, save_model
from sbnet.compat.irn_names import IRN_MARK, SECOND_MARK
from sbnet.compat.origins import recipe_of
from sbnet.compat.reference import BOUNDARY, CORRELATION, load_reference
from sbnet.compat.reference_names import FOV_MARK, rename
from sbnet.compat.state_file import Weights, read_weights
from sbnet.compat.tensors import check_finite

IRN_OPTIONS: dict[str, Any] = {"stride": 16, "dilate": False}
SEGMENTER_OPTIONS: dict[str, Any] = {"head": "large_fov", "fov_norm": "batch", "scales": (1.0,)}  # SEAM's

SEGMENTER_CLASSES = ("aspp.c0.bias", "fov.7.bias")


class Conversion(NamedTuple):
    """path: what was written. what: the network or backbone, in words. used: tensors taken over. notes: of each thing
    that is not as in the other file, a line.
    """

    path: Path
    what: str
    used: int
    notes: list[str]


def convert_weights(
    source: Path | str, name: str, out: Path | str, *, classes: Sequence[str] | None = None
) -> Conversion:
    """Write the weights in `source` as a model file of ours, strictly: no name of the file goes unmentioned.

    `name`: a network, such as 'sbnet-resnet38', or a backbone alone, such as 'resnet38', whose file serves as
    weights=file:PATH. `classes`: names by id, background first; by default VOC's, where the count fits.
    Raises SBNetError for a file that cannot be read, does not fit, or holds values that are not finite, and for an
    `out` that is no .safetensors or is `source`.
    """
    source, out = Path(source), Path(out)
    check_weights_target(source, out, ".safetensors")
    if is_model(source):
        raise SBNetError(
            f"{source}: a model file of sbnet's already; use it as it is, or give --to reference"
        )
    weights = read_weights(source)
    if name in models.BACKBONES or name.startswith("timm:"):
        state = lite_state(name, source) if name in LITES else weights.tensors
        backbone = models.build_backbone(name, weights="none")
        unused = fit_backbone(backbone, state, source)
        save_backbone(backbone, out, name=name, meta={"classes": [], **_origin(source)})
        notes = [f"left out, as no part of the backbone: {', '.join(sorted(unused))}"] if unused else []
        notes += _told(weights.left_out)
        return Conversion(out, f"backbone {name}", len(backbone.state_dict()), notes)
    model, meta, notes = network_from(source, name, weights, classes)
    save_model(model, out, meta=meta)
    method = f", method {meta['method']}" if "method" in meta else ""
    return Conversion(out, f"{name}, {model.classes} classes{method}", len(model.state_dict()), notes)


def network_from(
    source: Path, name: str, weights: Weights, classes: Sequence[str] | None
) -> tuple[models.Network, dict[str, Any], list[str]]:
    """The network `name` with `weights`, which were read from `source`; its `meta`; notes for the user."""
    state = weights.tensors
    names = _class_names(source, _count_classes(source, state), classes)
    options = _options(source, name, state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # parts that the file lacks: the same in every conversion
        model = models.build(name, len(names), weights="none", **options)
    optional = (*CORRELATION, *BOUNDARY) if isinstance(model, models.CamNetwork) else ()
    try:
        loaded = load_reference(model, state, optional=optional)
    except SBNetError as error:
        bare = name.partition("-")[2]
        raise SBNetError(f"{source}: {error}, or take its backbone alone (--model {bare})") from error
    check_finite(source, model)
    meta: dict[str, Any] = {"classes": list(names), **_origin(source)}
    notes = [f"added: {added}" for added in loaded.added]
    if isinstance(model, models.CamNetwork):
        _check_parts(source, loaded.absent)
        meta["method"] = _method(loaded.absent)
        if loaded.absent:
            notes.append(f"not in the file, left untrained and unused: {', '.join(loaded.absent)}")
    if tuple(names) == VOC_CLASSES and (recipe := recipe_of(name, meta.get("method", ""), state)):
        meta["origin"] = {"recipe": recipe, "verified": False}
    return model, meta, notes + _told(weights.left_out | loaded.left_out)


def _options(source: Path, name: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Of the network that the file was saved from, where names alone tell; SBNetError where `name` is another one."""
    family, _, backbone = name.partition("-")
    if IRN_MARK in state:
        wanted = "irn" if SECOND_MARK in state else "sbnet"
        if family != wanted or backbone.partition(".")[0] != "timm:resnet50":
            raise SBNetError(
                f"{source}: IRN's network over ResNet-50, no {name}; give --model {wanted}-timm:resnet50"
            )
        return IRN_OPTIONS
    if FOV_MARK in state:
        if name != "deeplabv2-resnet38":
            raise SBNetError(f"{source}: SEAM's segmenter, no {name}; give --model deeplabv2-resnet38")
        return SEGMENTER_OPTIONS
    return {}


def check_weights_target(source: Path, out: Path, *suffixes: str) -> None:
    """Raises SBNetError where `out` has none of the suffixes, by which such files are read, or is `source` itself."""
    if out.suffix.lower() not in suffixes:
        raise SBNetError(
            f"{out}: what is written is a {suffixes[0]} file, and would be taken for another one; name it "
            f"{out.with_suffix(suffixes[0]).name}"
        )
    check_output(out, [source])


def _count_classes(source: Path, state: Mapping[str, Tensor]) -> int | None:
    """Classes with background that the file's classifier tells apart; None where it has none (AffinityNet)."""
    try:
        tensors = rename(state).tensors
    except SBNetError as error:
        raise SBNetError(f"{source}: {error}") from error
    # A single number is no classifier, and refused with its shape by `load_reference`.
    rows = {name: value.shape[0] for name, value in tensors.items() if value.ndim}
    if "fc8.weight" in rows:
        plain = not any(name.partition(".")[0] in (*CORRELATION, *BOUNDARY) for name in tensors)
        return rows["fc8.weight"] + plain  # PSA's and IRN's have no background channel
    return next((rows[name] for name in SEGMENTER_CLASSES if name in rows), None)


def _class_names(source: Path, count: int | None, classes: Sequence[str] | None) -> Sequence[str]:
    names = VOC_CLASSES if classes is None else classes
    if count is not None and len(names) != count:
        whose = "PASCAL VOC has" if classes is None else "the list of classes has"
        raise SBNetError(
            f"{source}: a classifier of {count} classes with background, and {whose} {len(names)}; give a file "
            "of the class names, one a line (sbnet convert-weights --classes FILE)"
        )
    return names


def _check_parts(source: Path, absent: Sequence[str]) -> None:
    """Correlation and boundary head are there whole or not at all, and the latter not without the former."""
    missing = set(absent)
    for part in (CORRELATION, BOUNDARY):
        if missing & set(part) and not set(part) <= missing:
            raise SBNetError(
                f"{source}: without {', '.join(sorted(missing & set(part)))}; fetch the file again"
            )
    if set(CORRELATION) <= missing and not set(BOUNDARY) <= missing:
        raise SBNetError(f"{source}: a boundary head without {', '.join(CORRELATION)}; fetch the file again")


def _method(absent: Sequence[str]) -> str:
    if set(CORRELATION) <= set(absent):
        return "cam"
    return "seam" if set(BOUNDARY) <= set(absent) else "sbnet"


def _told(left_out: Mapping[str, str]) -> list[str]:
    """A line for each reason."""
    reasons: dict[str, list[str]] = {}
    for name, why in left_out.items():
        reasons.setdefault(why, []).append(name)
    return [f"left out, {why}: {', '.join(names)}" for why, names in reasons.items()]


def _origin(source: Path) -> dict[str, str]:
    """What a model file says of the file that it was made from."""
    with source.open("rb") as file:
        return {
            "converted_from": source.name,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
