"""Built-in scenes: images with exact masks, drawn in the run folder, for trying out without data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sbnet.data.datasets.base import Dataset, DataSettings, Lists, register
from sbnet.settings import Count, Natural, Seed


class ScenesSettings(DataSettings):
    """How many scenes, how large."""

    train: Count = 160
    """Scenes to train on."""
    val: Natural = 40
    """Scenes to measure on."""
    size: tuple[int, int] = (144, 192)
    """Height and width in pixels: 48 or more each, neither more than 2.5 times the other."""
    seed: Seed = 0
    """Another seed gives other scenes."""


@register
class Scenes(Dataset):
    name = "scenes"
    title = "Built-in scenes"
    about = "generated images of seven classes with exact masks; no data required"
    Settings = ScenesSettings

    def open(self, settings: ScenesSettings, *, work: Path) -> Lists:
        from sbnet.data.datasets.voc.folder import read_lists
        from sbnet.data.synthetic.scenes import make_scenes

        make_scenes(work, train=settings.train, val=settings.val, size=settings.size, seed=settings.seed)
        return read_lists(work, "train", "val" if settings.val else "", white=settings.white_level)

    def lists(self, settings: Any) -> str:
        return self.name
