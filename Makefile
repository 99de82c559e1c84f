# make demo   train a VAE on real handwriting, and read the audit of its ELBO
# make test   the tests, doctests included
# make check  what hooks and CI run: format, lint, types, layers, tests, notebooks, docs
# make docs   the site of the docs, in build/docs; a broken link or reference fails
# make links  the links of the docs to the outside, by asking each; it needs a network
# make test-browser  the docs, the report and JupyterLab in a headless Chromium, if there is one
# make slow   the tests that compile every component and program: half an hour
# make bench  the training step beside its peers (half an hour); BENCH=--quick for a short run
# make reliability  faults injected into trainings, and what was lost, counted: minutes
# make gpu    what only a GPU can prove, in ten minutes: benchmarks/GPU.md
# make tables the pages of docs that commands print: the components, and which KL is exact
#
# Each sets up its own .venv first. PYTHON chooses the interpreter, JOBS the test processes.

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
export MPLBACKEND = Agg

.PHONY: demo test check docs links test-browser slow reliability bench gpu tables format lint types layers \
  notebooks clean

demo: .venv/installed
	$(BIN)/pyro-vae train digits

test: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

check: .venv/dev format lint types layers test notebooks docs
	@echo "make check: all passed"

docs: .venv/docs
	$(BIN)/python -m sphinx -q -W --keep-going -c docs -b html . build/docs

links: .venv/docs
	$(BIN)/python -m sphinx -q -c docs -b linkcheck . build/links

test-browser: docs .venv/dev .venv/browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -s -m browser tests/browser

slow: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m slow

reliability: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability

bench: .venv/bench
	$(BIN)/python -m benchmarks $(BENCH)

gpu: .venv/dev .venv/bench
	$(BIN)/python -m benchmarks.gpu $(GPU)

tables: .venv/installed
	{ printf '# Components\n\nPrinted by `pyro-vae list --markdown`.\n\n'; \
	  $(BIN)/pyro-vae list --markdown; } > docs/components.md
	{ printf '# Which KL is exact\n\nPrinted by `pyro-vae list --matrix --markdown`.\n\n'; \
	  $(BIN)/pyro-vae list --matrix --markdown; } > docs/kl.md

format: .venv/dev
	$(BIN)/ruff format --check .

lint: .venv/dev
	$(BIN)/ruff check .

types: .venv/dev
	$(BIN)/mypy

layers: .venv/dev
	$(BIN)/lint-imports

notebooks: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbmake --nbmake-timeout=300 \
	  --override-ini addopts= --override-ini testpaths= -n $(JOBS) notebooks

.venv/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python 3.11 or later is needed, got {sys.version}; set PYTHON=python3.12"'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.venv/docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

.venv/browser: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	@touch $@

.venv/bench: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
