"""Spec files: TOML to tasks and back."""

from .task import load_task, task_from_spec, task_to_spec

__all__ = ["load_task", "task_from_spec", "task_to_spec"]
