"""Which images the report shows: steps keep for these what others do not need. Imports nothing heavy."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sbnet.data.datasets.collection import Collection, Photo

SHOWN = 12  # images of each split on the page


def shown_images(collection: Collection, count: int = SHOWN) -> list[Photo]:
    """At most `count` images spread over the classes, those with ground truth first, whatever their order."""
    with_truth = _spread([image for image in collection if image.mask], count)
    return with_truth + _spread([image for image in collection if not image.mask], count - len(with_truth))


def _spread(images: Sequence[Photo], count: int) -> list[Photo]:
    """In turn, the class shown least often so far gives its next image."""
    # A checksum of the name shuffles alike on every machine; in name order one year or source would lead.
    pool = sorted(images, key=lambda image: (zlib.crc32(image.name.encode()), image.name))
    shown: Counter[int] = Counter()
    chosen: list[Photo] = []
    while pool and len(chosen) < count:
        at_hand = {index for image in pool for index in image.classes}
        wanted = min(at_hand, key=lambda index: (shown[index], index), default=None)
        image = next((one for one in pool if wanted in one.classes), pool[0])
        pool.remove(image)
        chosen.append(image)
        shown.update(image.classes)
    return chosen
