"""A network that somebody else trained, in the place of one that a run would train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import models
from ..errors import SBNetError
from .checkpoint import is_model, load_model, save_model
from .convert import network_from
from .state_file import read_state


def bring_network(
    source: Path | str, target: Path, *, name: str, classes: Sequence[str], meta: dict[str, Any]
) -> dict[str, Any]:
    """Write the network in `source` as the model file `target`; returns facts for done.json.

    `source`: a model file of ours, or weights of other origin for the network `name`. `meta` comes besides what the
    file itself says. Raises SBNetError for a network of another kind, or of other classes.
    """
    source = Path(source)
    if is_model(source):
        model, found = load_model(source)
    else:
        model, found, _ = network_from(source, name, read_state(source), classes)
    family = name.partition("-")[0]
    alike = (*models.SEGMENTERS,) if family in models.SEGMENTERS else (family,)
    if model.name.partition("-")[0] not in alike:
        raise SBNetError(
            f"{source}: the network {model.name}, where one of the kind {' or '.join(alike)} is needed"
        )
    if list(found.get("classes", ())) != list(classes):
        theirs = ", ".join(found.get("classes", ["none named"]))
        raise SBNetError(f"{source}: a network of the classes {theirs}; the photos have {', '.join(classes)}")
    save_model(model, target, meta={**meta, **found})
    return {"network": str(source)}
