"""What a person looks at: ledgers and reports as tables, models as figures. Imported on first use: whoever prints a table draws nothing."""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"figures": ["figure"], "tables": ["ledger_table", "render", "report_table"]}
)

if TYPE_CHECKING:
    from .figures import figure as figure
    from .tables import ledger_table as ledger_table
    from .tables import render as render
    from .tables import report_table as report_table
