"""Write the run's HTML page."""

from __future__ import annotations

from pathlib import Path

from sbnet.data.datasets.collection import Collection


def write(folder: Path, train: Collection, val: Collection | None) -> Path:
    """`folder`/report.html of the run as it stands now."""
    from sbnet.report import write_report  # matplotlib loads only when a page is written

    return write_report(folder, train=train, val=val)
