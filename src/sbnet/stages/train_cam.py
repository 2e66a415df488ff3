"""Train the CAM network from image-level labels (plain CAM, SEAM, or SBNet)."""

from __future__ import annotations

from dataclasses import dataclass

from sbnet.stages.workspace import Workspace

READS: tuple[str, ...] = ()  # "boundaries" besides, where the method is sbnet


@dataclass(frozen=True)
class Settings:
    """method: `cam` (class loss alone), `seam` (+ min-pool, equivariance, cross), `sbnet` (+ boundary, smoothness).
    epochs, batch, accumulate: passes over the photos; photos a step; steps whose gradients are summed.
    learning_rate, momentum, weight_decay: SGD with polynomial decay of power 0.9.
    crop, long_side: training crop and the range of random long sides, pixels.
    boundary_weight, smoothness_weight: loss weights (paper: 0.01 and 10, the second for the first-order term).
    boundary_width: pixels on both sides of a label change that count as boundary.
    boundary_maker: `change` (label changes) or `window` (class shares in a 13 x 13 window, as BES).
    boundaries: a folder of confident-label PNGs made elsewhere; '' makes them with the bootstrap network.
    """

    method: str = "sbnet"
    epochs: int = 8
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int = 448
    long_side: tuple[int, int] = (448, 768)
    boundary_weight: float = 0.01
    smoothness_weight: float = 10.0
    boundary_width: int = 1
    boundary_maker: str = "change"
    boundaries: str = ""
    checkpoint_every: int = 100


def run(settings: Settings, workspace: Workspace) -> dict[str, object]:
    raise NotImplementedError
