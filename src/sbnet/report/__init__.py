"""What a run looks like: tables for the terminal, one HTML page."""

from sbnet.report.page import write_report
from sbnet.report.tables import metrics_table

__all__ = ["metrics_table", "write_report"]
