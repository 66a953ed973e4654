"""atlasmoe: compile an atlas into a mixture of experts, with a proof that it works."""

__version__ = "0.1.0"
