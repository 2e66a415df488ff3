"""A network that somebody else trained, in the place of one that a run would train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import SBNetError
from ..models import SEGMENTERS
from .checkpoint import is_model, load_model, save_model
from .convert import network_from
from .state_file import read_weights


def bring_network(
    source: Path | str, target: Path, *, name: str, classes: Sequence[str], meta: dict[str, Any]
) -> dict[str, Any]:
    """Write the network in `source` as the model file `target`; returns facts for done.json.

    `source`: a model file of ours, or weights of other origin for the network `name`. `meta` comes besides what the
    file itself says. The facts' `notes` are a line of each thing that is not as in the other file.
    Raises SBNetError for a network of another family than `name`'s, or of other classes.
    """
    source = Path(source)
    notes: list[str] = []
    if is_model(source):
        model, found = load_model(source)
    else:
        model, found, notes = network_from(source, name, read_weights(source), classes)
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
