"""SBNet: from image-level labels to segmentation masks.

`sbnet.run("quickstart")` runs a recipe, `sbnet.load(path)` takes the trained segmenter; `sbnet.ops`, `losses`,
`models`, `compat` and `metrics` serve alone too. PyTorch loads with the first of these that is used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from sbnet.errors import SBNetError

if TYPE_CHECKING:
    from sbnet import compat, losses, metrics, models, ops
    from sbnet.api import RunResult, load, run
    from sbnet.segmenter import Result, Segmenter

__all__ = [
    "Result",
    "RunResult",
    "SBNetError",
    "Segmenter",
    "__version__",
    "compat",
    "load",
    "losses",
    "metrics",
    "models",
    "ops",
    "run",
]

try:
    __version__ = version("sbnet")
except PackageNotFoundError:  # run from a source tree
    __version__ = "0+unknown"

_HOMES = {"run": "api", "load": "api", "RunResult": "api", "Segmenter": "segmenter", "Result": "segmenter"}
_ROOMS = ("compat", "losses", "metrics", "models", "ops")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"sbnet.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'sbnet' has no attribute {name!r}")
    return getattr(import_module(f"sbnet.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
