# Everything runs inside .venv, which the targets build for themselves when it is missing or out of date.
# The stamps in .venv remember what was done: editing pyproject.toml or constraints.txt installs again, editing the
# C++ sources compiles what has changed.

PYTHON ?= python3
PYTEST_ARGS ?=
# FRESH=1: `make demo` trains anew, where it has a finished run to show.
FRESH ?=
# What `make test-torch` runs the tests on: a version of torch, and other versions than the pinned ones.
TORCH ?= 2.14.1
WITH ?=
# What `make fuzz` does: so many cases of each kind, from a seed on, for so many seconds each at most.
COUNT ?= 20000
SEED ?= 0
SECONDS ?= 600
FUZZ_ARGS ?=
READERS ?=
# What `make matrix` runs; nothing: all rows.
ROWS ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install -qq -c constraints.txt
CREATED := $(VENV)/.created
INSTALLED := $(VENV)/.installed
NATIVE := $(VENV)/.native
OTHER := $(VENV)-torch-$(TORCH)
CHECK := build/wheel-check

# pyright: the node of .venv, not the machine's; no look for newer versions.
PYRIGHT := PYRIGHT_PYTHON_GLOBAL_NODE=0 PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(PY) -m pyright

# The native library: its sources (and their folder, which changes with each file that comes or goes).
CSRC := graphrec/csrc $(wildcard graphrec/csrc/*)
STRESS := tests/native/stress.cpp
# (GCC 12 takes its own _mm512_undefined_pd for a mistake.)
CXXWARNINGS := -Wall -Wextra -Wno-uninitialized -Wno-maybe-uninitialized

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install demo test test-slow test-torch matrix wheel-check native-sanitize fuzz fuzz-readers soak lint format docs bench clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(NATIVE)  ## build .venv: graphrec (editable) and all that the examples, tests and checks need

demo: $(NATIVE)  ## learn to name Python functions from their syntax trees: three minutes, no download; FRESH=1 trains anew
	@$(PY) examples/python_functions.py $(if $(FRESH),--fresh)

# Bytecode is kept where the environment says no: tests start many processes, which would compile the library anew.
test test-slow: export PYTHONDONTWRITEBYTECODE :=

test: $(NATIVE)  ## run the tests but the slow ones, on several cores; PYTEST_ARGS="-k chain" chooses among them
	@$(PY) -m pytest -n auto --maxprocesses 4 -m "not slow" $(PYTEST_ARGS)

test-slow: $(NATIVE)  ## run the slow tests
	@$(PY) -m pytest -m slow $(PYTEST_ARGS)

test-torch:  ## run the tests on another torch, in an environment beside .venv: TORCH=2.14.1 WITH="numpy==1.26.0"
	@test -x $(OTHER)/bin/python || $(PYTHON) -m venv $(OTHER)
	@pins='torch==$(TORCH) $(WITH)'; grep -vE "^($$(echo $$pins | sed -E 's/==[^ ]*//g; s/ +/|/g'))==" constraints.txt > $(OTHER)/pins.txt
	@$(OTHER)/bin/python -m pip --disable-pip-version-check install -qq -c $(OTHER)/pins.txt setuptools torch==$(TORCH) $(WITH)
	@$(OTHER)/bin/python -m pip --disable-pip-version-check install -qq -c $(OTHER)/pins.txt --no-build-isolation \
		torch==$(TORCH) $(WITH) -e '.[examples,dev]'
	@$(OTHER)/bin/python -m pytest -m "not slow" $(PYTEST_ARGS)

wheel-check: $(INSTALLED)  ## build the sdist, and from it the wheel; install that into an empty environment; run the smoke test there
	@rm -rf $(CHECK) && mkdir -p $(CHECK)
	@GRAPHREC_NATIVE=1 $(PY) -m build --no-isolation --outdir $(CHECK)/dist . > $(CHECK)/build.log 2>&1 || { cat $(CHECK)/build.log; exit 1; }
	@$(PYTHON) -m venv $(CHECK)/venv
	@$(CHECK)/venv/bin/python -m pip --disable-pip-version-check install -qq -c constraints.txt $(CHECK)/dist/*.whl
	@$(CHECK)/venv/bin/python -I tests/packaging/smoke.py
	@rm -rf $(CHECK)/venv

matrix:  ## run tests on the lowest and the newest torch, PyG and networkx, each in its own environment: ROWS="lowest newest"
	@$(PYTHON) .ci/matrix $(ROWS)

native-sanitize: $(INSTALLED)  ## run the native stress test under the sanitisers: addresses and undefined behaviour, then threads
	@test -f $(STRESS) || { echo "$(STRESS) is missing: there is nothing to run"; exit 1; }
	@for kind in address,undefined thread; do \
		echo "==> $$kind"; folder=build/native-$${kind%%,*}; \
		export CXXFLAGS="-g -O1 -fno-omit-frame-pointer -fsanitize=$$kind -fno-sanitize-recover=all" GRAPHREC_NATIVE=1; \
		$(PY) setup.py -q build_ext --build-temp $$folder --build-lib $$folder && \
		$${CXX:-c++} -std=c++17 -pthread $$CXXFLAGS -Igraphrec/csrc $(STRESS) $$folder/*.o -o $$folder/stress && \
		$$folder/stress || exit 1; \
	done

fuzz: $(NATIVE)  ## random cells, structures and programs, each way against each other: COUNT=20000 SEED=0 SECONDS=600 FUZZ_ARGS=cells
	@GRAPHREC_NATIVE=1 $(PY) setup.py -q build_ext --build-temp build/fuzz --build-lib build/fuzz && \
		$${CXX:-c++} -std=c++17 -pthread -O2 $$CXXFLAGS -Igraphrec/csrc $(STRESS) build/fuzz/*.o -o build/fuzz/stress
	@STRESS=build/fuzz/stress $(PY) -m tests.fuzz $(FUZZ_ARGS) --count $(COUNT) --seed $(SEED) --seconds $(SECONDS)

fuzz-readers: $(INSTALLED)-fuzz $(NATIVE)  ## search for texts and files that a reader fails on, with atheris, SECONDS for each: READERS="aiger bench"
	@$(PY) -m tests.fuzz.reader_runs $(READERS) --seconds $(SECONDS)

soak: $(NATIVE)  ## train on ever new structures and judge the memory: SECONDS=3600
	@$(PY) -m tests.fuzz.soak --seconds $(SECONDS) --seed $(SEED)

lint: $(INSTALLED)  ## check style and formatting (ruff) and types (pyright)
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PYRIGHT) --warnings
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYTHONPATH="$(CURDIR)" $(PY) .ci/types  # (pyright does not find editable packages)

format: $(INSTALLED)  ## apply ruff's formatting and safe fixes
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

docs: $(INSTALLED)-docs $(NATIVE)  ## build the site of the pages and docstrings into build/site; any warning is an error
	@$(PY) -m tests.docs.build_site

bench: $(INSTALLED)-bench $(NATIVE)  ## install the peers and run the benchmarks against them
	@DGLBACKEND=pytorch $(PY) -m benchmarks

clean:  ## remove .venv, environments beside it, caches and build outputs; what runs have left in runs/ stays
	rm -rf $(VENV) $(VENV)-torch-* build dist *.egg-info graphrec/_native.so .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(CREATED):
	@echo "==> creating $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("graphrec needs Python 3.11 or newer; try: make install PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# setuptools first, at its pinned version: what builds graphrec is pinned too. The native library follows below.
$(INSTALLED): pyproject.toml constraints.txt | $(CREATED)
	@echo "==> installing graphrec and its tools into $(VENV) (torch is large: a few minutes the first time)"
	@$(PIP) setuptools
	@GRAPHREC_NATIVE=0 $(PIP) --no-build-isolation -e '.[examples,dev]'
	@echo "==> installed"
	@touch $@

# Where there is a compiler, sources that do not compile are an error: tests of an older library would deceive.
$(NATIVE): $(INSTALLED) setup.py $(CSRC)
	@if $${CXX:-c++} -dumpmachine > /dev/null 2>&1; then export GRAPHREC_NATIVE=1; fi; \
		CXXFLAGS="$(CXXWARNINGS) $$CXXFLAGS" $(PY) setup.py -q build_ext --inplace
	@touch $@

# An extra that one target needs. Installing takes the native library away, which is then linked again.
$(INSTALLED)-%: $(INSTALLED)
	@echo '==> installing the extra $*'
	@rm -f $(NATIVE)
	@GRAPHREC_NATIVE=0 $(PIP) --no-build-isolation -e '.[examples,dev,$*]'
	@touch $@
