"""A model as one page that needs nothing else: `write_report`."""

from .write import write_report

__all__ = ["write_report"]
