"""Theorems that Coq's kernel checks: what is written into a folder, how coqc is run on it, and how weights are read back.

`statement.py` is what there is to be proved, `expressions.py` and `weights.py` write the two halves of it, `project.py` puts the folder
together, `theory.py` compiles what is proved for all models once, `run.py` runs coqc, `read_back.py` holds `Weights.v` against the model.
"""
