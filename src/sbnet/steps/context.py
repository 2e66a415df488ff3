"""What a step is given: its folder, what it reads, the images, the backbone and the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sbnet.backbones.settings import BackboneSettings
from sbnet.data.datasets.collection import Collection
from sbnet.engine.runtime import Runtime


@dataclass(frozen=True)
class Context:
    """One step's place in a run.

    folder: where it writes. inputs: the name under which it reads an artifact -> where that is: a folder of files, or a
    model file. train, val: the images; `val` is None where the data has no such list.
    family: of the network that it trains. key: where its settings are in the recipe, for messages.
    predict: the recipe's prediction settings, which a segmenter's file carries.
    recipe: the whole recipe as plain values, which every model file carries.
    """

    folder: Path
    inputs: Mapping[str, Path]
    train: Collection
    val: Collection | None
    backbone: BackboneSettings
    runtime: Runtime
    predict: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    family: str = ""
    key: str = ""

    def meta(self, **more: Any) -> dict[str, Any]:
        """What a model file says of itself: class names, recipe, and `more`."""
        return {"classes": list(self.train.classes), "recipe": dict(self.recipe), **more}
