"""Readers: a model of this library, a torch module, a checkpoint; each makes a `Patient` of what it is given."""
