"""What a data set is: settings, whether a folder is of its kind, and its lists of images. Imports no PyTorch.

Readers share `labels` (class lists, image lists, label files), `voc.write` (a collection as a folder in VOC's layout)
and `findings` (what `sbnet data check` tells).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from sbnet.errors import SBNetError
from sbnet.registry import DATASETS
from sbnet.settings import NotNegative, Settings, plain

if TYPE_CHECKING:
    from sbnet.data.datasets.collection import Collection

__all__ = ["DATASETS", "DataSettings", "Dataset", "Lists", "register", "root_of"]

register = DATASETS.register


class DataSettings(Settings):
    """What every data set has."""

    white_level: NotNegative = 0.0
    """The value that is white in images of more than 8 bits or of floats; 0: the largest that the format has."""


class Lists(NamedTuple):
    """train: images to learn from. val: images to measure on, None where there is no such list."""

    train: Collection
    val: Collection | None


class Dataset(ABC):
    """A reader, chosen by `data.source`. name: in recipes. title, about: for people.

    Settings: the recipe's section `data`, without `source`. A data set that lies in a folder has a field `root`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str] = ""
    Settings: ClassVar[type[DataSettings]]

    def recognizes(self, folder: Path) -> bool:
        """Whether `--data FOLDER` means this data set."""
        return False

    @abstractmethod
    def open(self, settings: Any, *, work: Path) -> Lists:
        """The lists. work: a folder of the run, for what the reader has to make once; it may not exist yet.

        Raises SBNetError, with file and line, for whatever cannot be used.
        """

    def lists(self, settings: Any) -> str:
        """What tells runs on other images apart, in words: a run folder of other lists is refused."""
        told = {key: value for key, value in plain(settings).items() if key not in ("root", "white_level")}
        lists = {key: told[key] for key in ("train", "val") if key in told} or told
        return ", ".join([self.name, *(f"{key} list '{value}'" for key, value in lists.items())])

    def has_val(self, settings: Any) -> bool:
        """Whether these settings give a list to measure on."""
        return bool(getattr(settings, "val", ""))


def root_of(settings: Any, what: str) -> Path:
    """The data set's folder. what: it in words, for the `SBNetError` raised where `data.root` is empty."""
    if not settings.root:
        raise SBNetError(f"data.root is empty: name {what}: --data FOLDER (or data.root=FOLDER)")
    return Path(settings.root)
