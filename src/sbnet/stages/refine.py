"""Dense CRF over the CAMs: confident labels for AffinityNet and boundaries, and a mask to measure."""

from __future__ import annotations

from dataclasses import dataclass

from sbnet.stages.workspace import Workspace

READS = ("scores",)


@dataclass(frozen=True)
class Settings:
    """low_alpha, high_alpha: background = (1 - max CAM)^alpha; a low alpha overstates the background, so what is
    foreground under it is confident; a high one understates it (PSA, section 3.3).
    mask_alpha: the alpha of the CRF mask that is measured and may serve as pseudo mask.
    gaussian: (sxy, weight); bilateral: (sxy, srgb, weight).
    """

    low_alpha: float = 4.0
    high_alpha: float = 24.0
    mask_alpha: float = 8.0
    iterations: int = 10
    gaussian: tuple[float, float] = (3.0, 3.0)
    bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0)


def run(settings: Settings, workspace: Workspace) -> dict[str, object]:
    raise NotImplementedError
