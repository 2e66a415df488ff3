"""A network that somebody else trained, in the place of one that a run would train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sbnet.errors import SBNetError
from sbnet.engine.networks import SEGMENTERS
from sbnet.backbones.network import Network
from sbnet.engine.model_file import is_ours, load_model, save_model
from sbnet.engine.convert import network_from
from sbnet.compat.origins import segmenter_name
from sbnet.compat.state_file import read_weights


def open_network(
    source: Path | str, *, name: str = "", classes: Sequence[str] | None = None
) -> tuple[Network, dict[str, Any], list[str]]:
    """The network in `source`, in eval mode, its `meta`, and a line of each thing that is not as in the file.

    `source`: a model file of ours, or weights of other origin. `name`: the network that these are for; without it, the
    reference's segmenter that their names tell. `classes`: as in `convert_weights`. Raises SBNetError for a file that
    is neither, and for weights whose network is not known.
    """
    source = Path(source)
    if is_ours(source) or not (name or source.is_file()):
        return *load_model(source), []
    weights = read_weights(source)
    name = name or segmenter_name(weights.tensors)
    if not name:
        raise SBNetError(
            f"{source}: no model file of sbnet's, and of no segmenter that its names tell; say of which network it is: "
            f"sbnet convert-weights {source} --model NAME --out {source.stem}.safetensors"
        )
    model, meta, notes = network_from(source, name, weights, classes)
    return model.eval(), meta, notes


def bring_network(
    source: Path | str, target: Path, *, name: str, classes: Sequence[str], meta: dict[str, Any]
) -> dict[str, Any]:
    """Write the network in `source` as the model file `target`; returns facts for done.json.

    `source`: a model file of ours, or weights of other origin for the network `name`. `meta` comes besides what the
    file itself says. The facts' `notes` are a line of each thing that is not as in the other file.
    Raises SBNetError for a network of another family than `name`'s, or of other classes.
    """
    source = Path(source)
    model, found, notes = open_network(source, name=name, classes=classes)
    family, theirs = (one.partition("-")[0] for one in (name, model.name))
    if theirs != family:
        remedy = f": set train_segmenter.family={theirs}" if {family, theirs} <= set(SEGMENTERS) else ""
        raise SBNetError(
            f"{source}: the network {model.name}, where one of the kind {family} is needed{remedy}"
        )
    if list(found.get("classes", ())) != list(classes):
        named = ", ".join(found.get("classes", ["none named"]))
        raise SBNetError(f"{source}: a network of the classes {named}; the photos have {', '.join(classes)}")
    save_model(model, target, meta={**meta, **found})
    return {"network": str(source), "notes": notes}
