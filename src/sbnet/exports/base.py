"""What an export format is: masks of named images written for one labelling tool or use. Imports no PyTorch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from sbnet.registry import EXPORTS

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EXPORTS", "Export", "NamedMask", "register"]

register = EXPORTS.register


class NamedMask(NamedTuple):
    """name: of the image, without suffix. mask: (H, W) uint8 class ids, 0 background, 255 ignore. image: its file, None
    if not known.
    """

    name: str
    mask: np.ndarray
    image: Path | None = None


class Export(ABC):
    """A format, chosen by `sbnet export --to NAME`. title: what it is, in a line."""

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def write(self, masks: Iterable[NamedMask], classes: Sequence[str], out: Path) -> int:
        """Write the masks under the folder `out`, which is new or empty; returns how many.

        classes: names by class id, background first. Raises SBNetError for what the format cannot hold.
        """
