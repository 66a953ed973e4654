"""What ends the check of a site."""

from __future__ import annotations


class Refused(Exception):
    """Why a site cannot stand as it is written; `rejected` if something is wrong, else it is only not known."""

    def __init__(self, reason: str, rejected: bool = True) -> None:
        super().__init__(reason)
        self.rejected = rejected
