"""What a run looks like: tables for the terminal, one HTML page. Nothing loads before it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sbnet.report.page import write_report
    from sbnet.report.shown import shown_images
    from sbnet.report.tables import metrics_table

__all__ = ["metrics_table", "shown_images", "write_report"]
_MODULES = {"metrics_table": "tables", "shown_images": "shown", "write_report": "page"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
