"""Networks from weights of other implementations, and ours as files that their scripts load."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sbnet.backbones.network import Network
from sbnet.backbones.weights import fit_backbone
from sbnet.compat.names import Weights, rename
from sbnet.compat.origins import FAMILIES, ORIGINS, Origin, count_classes, family_of, identify
from sbnet.compat.outward import outward_state, target
from sbnet.compat.reference import check_finite, load_reference
from sbnet.compat.state_file import read_weights
from sbnet.data.datasets.labels import VOC_CLASSES
from sbnet.data.io.files import atomic_write, check_output
from sbnet.errors import SBNetError
from sbnet.networks import build as networks
from sbnet.networks.model_file import is_ours, load_model, network_name, save_backbone, save_model


class Opened(NamedTuple):
    """A network, what its file says of it, and a line for each difference from that file."""

    network: Network
    meta: dict[str, Any]
    notes: list[str]


class Conversion(NamedTuple):
    """path: what was written. what: the network or backbone, in words. used: tensors written. notes: a line for each
    difference from the source.
    """

    path: Path
    what: str
    used: int
    notes: list[str]


def open_network(source: Path | str, *, name: str = "", classes: Sequence[str] | None = None) -> Opened:
    """The network in `source`, a model file of ours or weights of other origin, in eval mode.

    `name`, `classes`: of the network, as in `convert_weights`. Raises SBNetError as `load_model` and `convert_weights`
    do.
    """
    source = Path(source)
    if is_ours(source) or not source.is_file():
        return Opened(*load_model(source), [])
    opened = _open_foreign(source, name, read_weights(source), classes)
    opened.network.eval()
    return opened


def bring_network(
    source: Path | str, target: Path, *, name: str, classes: Sequence[str], meta: dict[str, Any]
) -> dict[str, Any]:
    """Write the network in `source` as the model file `target`; returns facts for done.json.

    `source`, `name`: as in `open_network`. `meta` is added to what the file itself says. The facts' `notes` have a line
    for each difference from the file. Raises SBNetError for a network of another family than `name`'s, or of other
    classes.
    """
    source = Path(source)
    model, found, notes = open_network(source, name=name, classes=classes)
    family, theirs = (one.partition("-")[0] for one in (name, model.name))
    if theirs != family:
        raise SBNetError(
            f"{source}: the network {model.name}, but this recipe needs one of the family '{family}'; give another "
            f"file, or choose the method of '{theirs}' in the recipe"
        )
    if list(found.get("classes", ())) != list(classes):
        named = ", ".join(found.get("classes", ["none named"]))
        raise SBNetError(
            f"{source}: a network of the classes {named}, but the dataset has {', '.join(classes)}; give a network "
            "of these classes"
        )
    save_model(model, target, meta={**meta, **found})
    return {"network": str(source), "notes": notes}


def convert_weights(
    source: Path | str, name: str, out: Path | str, *, classes: Sequence[str] | None = None
) -> Conversion:
    """Write the weights in `source` as a model file of ours, strictly: every name in the file is accounted for.

    `name`: a network, such as 'sbnet-resnet38'; '' for the one that the names in the file tell; or a backbone alone,
    such as 'resnet38', for weights=file:PATH. `classes`: names by id, background first; by default VOC's, where their
    number fits. Raises SBNetError for a file that cannot be read or does not fit, values that are not finite, and an
    `out` that is not a .safetensors or is `source`.
    """
    source, out = Path(source), Path(out)
    _check_target(source, out, ".safetensors")
    if network_name(source):
        raise SBNetError(f"{source}: already a model file of sbnet; use it as it is, or give --to reference")
    weights = read_weights(source)
    if name in networks.BACKBONES or name.startswith("timm:"):
        backbone = networks.build_backbone(name, weights="none")
        unused = fit_backbone(backbone, weights.tensors, source)
        save_backbone(backbone, out, name=name, meta={"classes": [], **_provenance(source)})
        notes = [f"ignored, not part of the backbone: {', '.join(sorted(unused))}"] if unused else []
        return Conversion(
            out, f"backbone {name}", len(backbone.state_dict()), notes + _lines(weights.ignored)
        )
    model, meta, notes = _open_foreign(source, name, weights, classes)
    save_model(model, out, meta=meta)
    return Conversion(out, f"{model.name}, {model.classes} classes", len(model.state_dict()), notes)


def write_reference(source: Path | str, out: Path | str, *, to: str = "reference") -> Conversion:
    """Write our model file `source` as a .pth that the scripts of its reference implementation load strictly.

    `to`: 'reference' for the whole network, or the ancestor whose part of it is written. Raises SBNetError for
    a network that no reference implementation has, and for an `out` that is not a .pth or .pt or is `source`.
    """
    source, out = Path(source), Path(out)
    _check_target(source, out, ".pth", ".pt")
    model, _ = load_model(source)
    try:
        key, lacks = target(model.name, model.options, to=to)
    except SBNetError as error:
        raise SBNetError(f"{source}: {error}") from error
    state = outward_state(model.state_dict(), key, lacks)
    with atomic_write(out) as temporary:
        torch.save(state, temporary)
    origin = ORIGINS[key]
    notes = [f"ignored, not in {origin.title}: {', '.join(lacks)}"] if lacks else []
    if not origin.background:
        notes.append(f"ignored, not in {origin.title}: the background channel of fc8")
    return Conversion(out, f"{model.name} as {origin.title}", len(state), notes)


def _open_foreign(source: Path, name: str, weights: Weights, classes: Sequence[str] | None) -> Opened:
    """The network `name` ('': see `convert_weights`) with `weights`, which were read from `source`."""
    try:
        tensors = rename(weights.tensors).tensors
    except SBNetError as error:
        raise SBNetError(f"{source}: {error}") from error
    origin = identify(weights.tensors, tensors)
    name = _name(source, name, origin, family_of(tensors))
    names = _class_names(source, count_classes(tensors), classes)
    same_family = origin is not None and origin.network.partition("-")[0] == name.partition("-")[0]
    options = origin.options if origin and same_family else {}
    with torch.random.fork_rng(devices=[]):  # every value is replaced
        model = networks.build(name, len(names), weights="none", **options)
    try:
        loaded = load_reference(model, weights.tensors)
    except SBNetError as error:
        backbone = name.partition("-")[2]
        raise SBNetError(f"{source}: {error}, or convert its backbone alone (--model {backbone})") from error
    check_finite(source, model)
    meta: dict[str, Any] = {"classes": list(names), **_provenance(source)}
    if origin and origin.recipe and tuple(names) == VOC_CLASSES:
        meta["origin"] = {"recipe": origin.recipe, "verified": False}
    added = [f"added: {one}" for one in loaded.added]
    return Opened(model, meta, added + _lines(weights.ignored | loaded.ignored))


def _name(source: Path, name: str, origin: Origin | None, family: str) -> str:
    """The network to build; SBNetError where the names in the file tell another one, or none where `name` is ''."""
    if not name:
        if origin:
            return origin.network
        raise SBNetError(
            f"{source}: not a model file of sbnet, and its names do not tell the network; convert it: "
            f"sbnet convert-weights {source} --model NAME --out {source.stem}.safetensors"
        )
    given, _, backbone = name.partition("-")
    known = given in [one for _, one in FAMILIES]
    if origin:
        told, _, its_backbone = origin.network.partition("-")
        if (given != told and known) or not networks.same_backbone(backbone, its_backbone):
            raise SBNetError(f"{source}: {origin.title}, not {name}; give --model {origin.network}")
    elif family and given != family and known:
        raise SBNetError(
            f"{source}: a network of the family '{family}', not {name}; give --model {family}-{backbone}"
        )
    return name


def _class_names(source: Path, count: int | None, classes: Sequence[str] | None) -> Sequence[str]:
    names = VOC_CLASSES if classes is None else classes
    if count is not None and len(names) != count:
        whose = "PASCAL VOC has" if classes is None else "the list of classes has"
        raise SBNetError(
            f"{source}: a classifier of {count} classes with background, but {whose} {len(names)}; give a file with "
            "one class name per line (sbnet convert-weights --classes FILE)"
        )
    return names


def _check_target(source: Path, out: Path, *suffixes: str) -> None:
    """Raises SBNetError where `out` has none of the suffixes, by which such files are read, or is `source` itself."""
    if out.suffix.lower() not in suffixes:
        raise SBNetError(
            f"{out}: this writes a {suffixes[0]} file; name it {out.with_suffix(suffixes[0]).name}"
        )
    check_output(out, [source])


def _lines(ignored: Mapping[str, str]) -> list[str]:
    """A line for each reason."""
    reasons: dict[str, list[str]] = {}
    for name, why in ignored.items():
        reasons.setdefault(why, []).append(name)
    return [f"ignored, {why}: {', '.join(names)}" for why, names in reasons.items()]


def _provenance(source: Path) -> dict[str, str]:
    """What a model file says of the file that it was made from."""
    with source.open("rb") as file:
        return {"converted_from": source.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
