"""Class activation maps of the training photos, over several scales and mirrored."""

from __future__ import annotations

from dataclasses import dataclass

from sbnet.stages.workspace import Workspace

READS = ("network",)


@dataclass(frozen=True)
class Settings:
    """scales: photo sizes relative to the original; mirror: each scale's mirror image besides.
    map: `refined` (after the pixel correlation module) or `raw`.
    """

    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    mirror: bool = True
    map: str = "refined"


def run(settings: Settings, workspace: Workspace) -> dict[str, object]:
    raise NotImplementedError
