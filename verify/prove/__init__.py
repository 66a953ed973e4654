"""Proved for every point: branch and bound over the boxes of the charts, and the certificate that it leaves behind."""

from .certificate import Certificate
from .prove import certify

__all__ = ["Certificate", "certify"]
