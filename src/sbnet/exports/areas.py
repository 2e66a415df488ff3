"""How much of each image each class covers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sbnet.exports.base import Export, NamedMask, register


@register
class Areas(Export):
    name = "areas"
    title = "areas.csv: image, class, pixels, share of the image; 255 is listed as 'ignore'"

    def write(self, masks: Iterable[NamedMask], classes: Sequence[str], out: Path) -> int:
        import numpy as np

        from sbnet.data import IGNORE
        from sbnet.data.io.files import write_table

        names = dict(enumerate(classes)) | {IGNORE: "ignore"}
        rows: list[Sequence[object]] = [("image", "class", "pixels", "share")]
        count = 0
        for one in masks:
            count += 1
            pixels = np.bincount(one.mask.ravel(), minlength=IGNORE + 1)
            rows += [
                (one.name, names[number], pixels[number], f"{pixels[number] / one.mask.size:.6f}")
                for number in np.flatnonzero(pixels).tolist()
            ]
        write_table(out / "areas.csv", rows)
        return count
