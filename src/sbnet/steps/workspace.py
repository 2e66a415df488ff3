"""What a stage is given: its folder, the folders it reads, the photos, the network and the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sbnet.data.datasets.collection import Collection
from sbnet.engine.runtime import Runtime


@dataclass(frozen=True)
class ModelSettings:
    """The network that every training stage starts from.

    backbone: `lite0`, `lite2`, `resnet38`, `resnet101` (segmenter only) or `timm:NAME`.
    weights: `auto` (the backbone's own ImageNet weights; the ResNets have none), `none`,
    `file:PATH`, or `timm:NAME`.
    stride: output stride, 8 or 16 (timm backbones; the ResNets have 8).
    freeze: backbone stages kept as they are; the stem belongs to the first (the paper's ResNet-38: 1); of timm's
    ResNets it is the first, and layer1 the second.
    dilate: spread the kernels of the stages whose stride was taken away. ResNet-38 and -101 always have them so; IRN's
    ResNet-50 does not.
    """

    backbone: str = "lite0"
    weights: str = "auto"
    stride: int = 16
    freeze: int = 2
    dilate: bool = True


@dataclass(frozen=True)
class Workspace:
    """One stage's place in a run.

    folder: where it writes. inputs: input name -> folder of the step that made it.
    train, val: the photos; `val` is None where the data has no such list.
    predict: the recipe's settings of that stage, which a segmenter's file carries.
    recipe: the whole recipe as plain values, which every model file carries.
    """

    folder: Path
    inputs: Mapping[str, Path]
    train: Collection
    val: Collection | None
    model: ModelSettings
    runtime: Runtime
    predict: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def meta(self, **more: Any) -> dict[str, Any]:
        """What a model file says of itself: class names, recipe, and `more`."""
        return {"classes": list(self.train.classes), "recipe": dict(self.recipe), **more}
