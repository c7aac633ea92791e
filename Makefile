# Everything runs inside .venv, which the targets build for themselves when it is missing or out of date.
# The stamps in .venv remember what was done: editing pyproject.toml or constraints.txt installs again.

PYTHON ?= python3
PYTEST_ARGS ?=
# What `make test-torch` runs the tests on: a version of torch, and other versions than the pinned ones.
TORCH ?= 2.14.1
WITH ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install -qq -c constraints.txt
CREATED := $(VENV)/.created
INSTALLED := $(VENV)/.installed
BENCH_INSTALLED := $(VENV)/.installed-bench
OTHER := $(VENV)-torch-$(TORCH)

# pyright: the node of .venv, not the machine's; no look for newer versions.
PYRIGHT := PYRIGHT_PYTHON_GLOBAL_NODE=0 PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(PY) -m pyright

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-slow test-torch lint format bench clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(INSTALLED)  ## build .venv: graphrec (editable) and all that the examples, tests and checks need

demo: $(INSTALLED)  ## name Python functions from their syntax trees: a few minutes on two cores, no download
	@$(PY) examples/python_functions.py

test: $(INSTALLED)  ## run the tests but the slow ones; PYTEST_ARGS="-k chain" chooses among them
	@$(PY) -m pytest -m "not slow" $(PYTEST_ARGS)

test-slow: $(INSTALLED)  ## run the slow tests
	@$(PY) -m pytest -m slow $(PYTEST_ARGS)

test-torch:  ## run the tests on another torch, in an environment beside .venv: TORCH=2.14.1 WITH="numpy==1.26.0"
	@test -x $(OTHER)/bin/python || $(PYTHON) -m venv $(OTHER)
	@pins='torch==$(TORCH) $(WITH)'; grep -vE "^($$(echo $$pins | sed -E 's/==[^ ]*//g; s/ +/|/g'))==" constraints.txt > $(OTHER)/pins.txt
	@$(OTHER)/bin/python -m pip --disable-pip-version-check install -qq -c $(OTHER)/pins.txt setuptools torch==$(TORCH) $(WITH)
	@$(OTHER)/bin/python -m pip --disable-pip-version-check install -qq -c $(OTHER)/pins.txt --no-build-isolation \
		torch==$(TORCH) $(WITH) -e '.[examples,dev]'
	@$(OTHER)/bin/python -m pytest -m "not slow" $(PYTEST_ARGS)

lint: $(INSTALLED)  ## check style and formatting (ruff) and types (pyright)
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PYRIGHT) --warnings

format: $(INSTALLED)  ## apply ruff's formatting and safe fixes
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

bench: $(BENCH_INSTALLED)  ## install the peers and run the benchmarks against them
	@DGLBACKEND=pytorch $(PY) -m benchmarks

clean:  ## remove .venv, environments beside it, caches and build outputs; what runs have left in runs/ stays
	rm -rf $(VENV) $(VENV)-torch-* build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(CREATED):
	@echo "==> creating $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("graphrec needs Python 3.11 or newer; try: make install PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# setuptools first, at its pinned version: what builds graphrec is pinned too.
$(INSTALLED): pyproject.toml constraints.txt | $(CREATED)
	@echo "==> installing graphrec and its tools into $(VENV) (torch is large: a few minutes the first time)"
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation -e '.[examples,dev]'
	@echo "==> installed"
	@touch $@

$(BENCH_INSTALLED): $(INSTALLED)
	@echo "==> installing the peers to compare with"
	@$(PIP) --no-build-isolation -e '.[examples,dev,bench]'
	@echo "==> installed"
	@touch $@
