"""Masks of the measuring photos from the trained segmenter, without and with CRF."""

from __future__ import annotations

from dataclasses import dataclass

from sbnet.stages.workspace import Workspace

READS = ("network",)


@dataclass(frozen=True)
class Settings:
    """crf: a second set of masks after the dense CRF (DeepLab v2's settings: gaussian (sxy, weight),
    bilateral (sxy, srgb, weight)). scales, mirror: test-time views whose probabilities are averaged.
    """

    crf: bool = True
    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False
    iterations: int = 10
    gaussian: tuple[float, float] = (1.0, 3.0)
    bilateral: tuple[float, float, float] = (67.0, 3.0, 4.0)


def run(settings: Settings, workspace: Workspace) -> dict[str, object]:
    raise NotImplementedError
