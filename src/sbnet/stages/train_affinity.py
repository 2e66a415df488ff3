"""Train AffinityNet on the confident labels."""

from __future__ import annotations

from dataclasses import dataclass

from sbnet.stages.workspace import Workspace

READS = ("labels",)


@dataclass(frozen=True)
class Settings:
    """Names as in train_cam. radius: pairs of pixels nearer than this on the feature grid."""

    epochs: int = 8
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int = 448
    long_side: tuple[int, int] = (448, 768)
    checkpoint_every: int = 100


def run(settings: Settings, workspace: Workspace) -> dict[str, object]:
    raise NotImplementedError
