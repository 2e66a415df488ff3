"""Palette PNGs of class ids, as VOC has them, and a legend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sbnet.exports.base import Export, NamedMask, register


@register
class Png(Export):
    name = "png"
    title = "palette PNGs of class ids and legend.csv (id, name, color)"

    def write(self, masks: Iterable[NamedMask], classes: Sequence[str], out: Path) -> int:
        from sbnet.data.io.files import write_label, write_table
        from sbnet.data.io.palette import PALETTE

        count = 0
        for one in masks:
            count += 1
            write_label(out / f"{one.name}.png", one.mask)
        colors = ("#{:02x}{:02x}{:02x}".format(*PALETTE[number]) for number in range(len(classes)))
        rows = zip(range(len(classes)), classes, colors, strict=True)
        write_table(out / "legend.csv", [("id", "name", "color"), *rows])
        return count
