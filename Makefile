# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# One thread per process: two BLAS threads on shared cores are slower than one, and tests run in parallel anyway.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check docs bench experiments redteam clean

demo: .venv/installed
	$(BIN)/atlasmoe demo --output out/demo

# Each of two workers takes one half, so that a file's models are built once, and the one that is done first takes over some of the rest.
# Processes that tests start find compiled modules, whatever the shell says.
test: .venv/installed
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 2 --dist worksteal

# Attacks on what proves and what checks; about twenty minutes of one core. Exit code 1 if anything false was believed.
redteam: .venv/installed
	$(BIN)/python tests/attacks/redteam.py

# mypy takes a package's name from its folder: the link gives it the right one, whatever this checkout is called.
check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/types && ln -sfn ../.. build/types/atlasmoe
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml --no-namespace-packages -p atlasmoe

# The documentation as a site, in build/site: its reference is read from the docstrings. In an environment of its own, for nothing else needs it.
docs: .venv/docs
	rm -rf build/api && mkdir -p build/api/atlasmoe
	for part in *.py $(dir $(wildcard */__init__.py)); do ln -s ../../../$${part%/} build/api/atlasmoe/; done
	.venv/docs/bin/zensical build --clean --config-file zensical.toml

.venv/docs: constraints.txt
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt zensical mkdocstrings-python
	touch $@

bench: .venv/installed
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# Tables, figures and results of docs/experiments, in out/ and out/experiments; at most an hour of two cores. Results are kept: an interrupted run goes on.
experiments: .venv/installed
	for script in examples/mathematics_and_language.py examples/experiments/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# constraints.txt pins the tested set of versions; setup.cfg states the ranges that should work.
.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf .venv out build dist *.egg-info
