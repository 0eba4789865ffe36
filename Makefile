# The verbs of the house. They need a Python 3.11 or newer on the path, and nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV ?= .venv
PYTEST_ARGS ?= -n 4 --dist worksteal
STORM_SECONDS ?= 3600
STORM_KILLS ?= 200
DOCS_TESTS ?= tests/test_readme.py tests/test_docstrings.py tests/crewai/test_docstrings.py tests/test_examples.py tests/test_notebooks.py

BIN := $(VENV)/bin
PY := $(BIN)/python
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev

# the tests start hundreds of processes; each would compile everything anew
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test lint types crash stores storm bench docs

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

install: $(DEV) ## tallystick, every extra and every tool, into a venv

demo: $(RUNTIME) ## see what it is for
	$(BIN)/tallystick demo

test: $(DEV) ## all tests; PYTEST_ARGS='-k claim -x' for a few
	$(PY) -m pytest $(PYTEST_ARGS)

lint: $(DEV) ## style, format, and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(DEV) ## mypy and pyright, both strict
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(PY)

crash: $(DEV) ## kill a process at each named point, and look
	TALLYSTICK_MATRIX=both $(PY) -m pytest -m "(crash or slow) and not storm" tests/crash tests/network $(PYTEST_ARGS)

stores: $(DEV) ## what the tests leave out on MariaDB: both faces, every guarantee, every play
	TALLYSTICK_STORES=all $(PY) -m pytest -m "mariadb or crash or slow" -k "ariadb" tests/contract tests/stores tests/crash/test_matrix.py tests/mutation/test_guards.py $(PYTEST_ARGS)

storm: $(DEV) ## kill many at random, for STORM_SECONDS (an hour); STORM_KILLS (200) each in sagas, archives, graphs, purses, crews and teams
	$(PY) -m tests.crash.storm --seconds $(STORM_SECONDS)
	$(PY) -m tests.crash.saga_storm --kills $(STORM_KILLS)
	$(PY) -m tests.crash.keeper_storm --kills $(STORM_KILLS)
	$(PY) -m tests.langgraph.storm --kills $(STORM_KILLS)
	$(PY) -m tests.budgets.storm --kills $(STORM_KILLS)
	$(PY) -m tests.crewai.storm --kills $(STORM_KILLS)
	$(PY) -m tests.autogen.storm --kills $(STORM_KILLS)
	TALLYSTICK_TAMPERS=1000 $(PY) -m pytest tests/seals/test_tampering.py

bench: $(DEV) ## measure
	$(PY) -m tests.bench.run
	$(PY) -m tests.bench.checkpoints
	$(PY) -m tests.bench.retention
	$(PY) -m tests.bench.budgets
	$(PY) -m tests.bench.agents
	$(PY) -m tests.bench.replays
	$(PY) -m tests.bench.archives --effects 100000

docs: $(DEV) ## run what README, docstrings and examples print
	$(PY) -m pytest $(DOCS_TESTS) $(PYTEST_ARGS)

$(PY):
	$(PYTHON) -m venv $(VENV)
	@echo '*' > $(VENV)/.gitignore

# pip reads dependency groups since 25.1; an older one is renewed, a newer one left alone.
# A stamp that is older than these two files says that something may have changed.
$(RUNTIME): pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install --quiet 'pip>=25.1'
	$(PY) -m pip install --quiet -c constraints.txt -e '.[langchain]'
	@touch $@

$(DEV): $(RUNTIME)
	$(PY) -m pip install --quiet -c constraints.txt --group dev -e '.[all]'
	@touch $@
