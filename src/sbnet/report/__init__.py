"""What a run looks like: tables for the terminal, one HTML page."""

from sbnet.report.page import write_report
from sbnet.report.rows import shown_photos
from sbnet.report.tables import metrics_table

__all__ = ["metrics_table", "shown_photos", "write_report"]
