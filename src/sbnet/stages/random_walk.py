"""Spread the CAMs along the learned affinities: the pseudo masks."""

from __future__ import annotations

from dataclasses import dataclass

from sbnet.stages.workspace import Workspace

READS = ("scores", "network")


@dataclass(frozen=True)
class Settings:
    """background_alpha: background = (1 - max CAM)^alpha. sharpness: the papers' beta. steps: walk length.
    crf: refine the walked scores with the dense CRF before the mask is cut.
    """

    background_alpha: float = 16.0
    sharpness: float = 8.0
    steps: int = 64
    crf: bool = False


def run(settings: Settings, workspace: Workspace) -> dict[str, object]:
    raise NotImplementedError
