"""The trusted base: confirms a certificate from the files alone, by other enclosures than those of the search that found it."""

from .check import CheckReport, check

__all__ = ["CheckReport", "check"]
