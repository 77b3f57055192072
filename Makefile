# Two commands work from a bare clone: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2

.PHONY: demo test test-slow test-gpu check bench docs clean
.DEFAULT_GOAL := help

help:
	@echo "make demo | test | test-slow | test-gpu | check | bench | docs | clean"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The run-time set alone: what `make demo` needs.
$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run
	$(BIN)/signscope compare --out results/demo --force

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)  # one thread each: the workers share the cores

test-slow: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m slow

test-gpu: $(VENV)/.dev  # needs a build of torch for GPUs; NCCL runs with as many workers as there are GPUs
	$(BIN)/python -m pytest -m gpu

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(MAKE) test

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run_all.py

docs: $(VENV)/.dev
	$(BIN)/python docs/make_pictures.py
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site results .pytest_cache .ruff_cache
