"""Targets, baselines and refined atlases of `benchmarks/fit.py`."""
