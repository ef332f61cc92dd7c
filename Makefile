# Every target works on a fresh machine with python3 (3.11 or newer), its venv module, and make.
#   make demo    fit, compile, verify, save, load, predict and time a real pipeline
#   make test    everything that CI runs

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# pytest workers
N      ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types unit test-sklearn bench docs clean

help:
	@echo "make demo    compile a real pipeline, prove it equal, time it (under two minutes)"
	@echo "make test    lint, types, unit tests, docstrings and documentation examples"
	@echo "make lint    ruff and the import floors"
	@echo "make format  let ruff rewrite what it can"
	@echo "make types   pyright"
	@echo "make unit    pytest only; choose tests with ARGS='tests/ir -k text'"
	@echo "make test-sklearn  scikit-learn's own tests with acceleration on (an hour); ARGS='linear_model'"
	@echo "make bench   measure against every installed peer, write docs/benchmarks.md"
	@echo "make docs    write docs/support.md, build the documentation into site/"
	@echo "make clean   remove the environment and everything that was built"

# --- the environment: one stamp an extra, made again when pyproject.toml changes --------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Millrace needs Python 3.11 or newer; say where it is: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[dev,lightgbm,catboost]"
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	@touch $@

$(VENV)/.docs: pyproject.toml $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	@touch $@

# --- what there is to do ----------------------------------------------------------------------------

demo: $(VENV)/.dev
	$(BIN)/python examples/demo.py

test: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev
	$(BIN)/pyright

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(N) $(ARGS)

test-sklearn: $(VENV)/.dev
	$(BIN)/python -m tools.sklearn_suite $(ARGS)

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

docs: $(VENV)/.docs
	$(BIN)/python -m tools.support
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site demo-output .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
