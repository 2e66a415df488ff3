"""Train a segmenter on the pseudo masks (or, as the ceiling, on the true ones)."""

from __future__ import annotations

from dataclasses import dataclass

from sbnet.stages.workspace import Workspace

READS = ("labels",)


@dataclass(frozen=True)
class Settings:
    """Names as in train_cam. backbone: '' for the run's own. labels: `pseudo`, or `truth` for the ceiling.
    scales: input sizes whose logits are maxed and each trained (multi-scale module of DeepLab v2).
    """

    backbone: str = ""
    weights: str = "auto"
    labels: str = "pseudo"
    scales: tuple[float, ...] = (1.0, 0.75, 0.5)
    epochs: int = 20
    batch: int = 10
    accumulate: int = 1
    learning_rate: float = 2.5e-4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int = 321
    scale: tuple[float, float] = (0.5, 1.5)
    checkpoint_every: int = 100


def run(settings: Settings, workspace: Workspace) -> dict[str, object]:
    raise NotImplementedError
