"""What a person looks at: ledgers and reports as tables, models as figures."""

from .figures import figure
from .tables import ledger_table, render, report_table

__all__ = ["figure", "ledger_table", "render", "report_table"]
