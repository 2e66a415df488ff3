"""An export format: a line of class counts for each mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sbnet.exports.base import Export, NamedMask


class Text(Export):
    name = "toy_text"
    title = "a line of pixel counts for each mask"

    def write(self, masks: Iterable[NamedMask], classes: Sequence[str], out: Path) -> int:
        lines = [
            f"{one.name} {' '.join(map(str, np.bincount(one.mask.ravel(), minlength=len(classes))))}"
            for one in masks
        ]
        out.mkdir(parents=True, exist_ok=True)
        (out / "counts.txt").write_text("\n".join(lines) + "\n")
        return len(lines)
