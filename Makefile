# Every target sets up what it needs. `make run` on a fresh clone is enough; see CONTRIBUTING.md for the rest.
#
#   make run     two workers solve the sample worksheet, live; writes run.ipynb
#   make test    all tests                        make check   format, lint, types, import contract
#   make lab     JupyterLab on the first tour     make bench   speed, as ratios
#   make docs    the documentation's commands     make clean   caches and run outputs
#   make bench-gpu   the kernels checked and measured on a CUDA device
#   make pictures    the README's pictures of JupyterLab, taken again

NOTEBOOK ?= notebooks/01_first_run.ipynb
PYTEST   ?=
# The first interpreter that is new enough; name another one with `make PYTHON=/path/to/python3.12 run`.
PYTHON   ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

VENV    := .venv
BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
# JupyterLab refuses to start as root (a container's only user, often) unless it is told so.
ROOT_OK := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help run test check lab bench bench-gpu docs pictures clean ui

help:
	@sed -n 's/^#   //p' Makefile

run: ui
	$(BIN)/workbench run --file notebooks/worksheet.txt --workers 2 --notebook run.ipynb

test: $(VENV)/.dev ui
	PYTHONHASHSEED=0 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest $(PYTEST)

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

lab: ui
	$(BIN)/jupyter lab $(ROOT_OK) $(NOTEBOOK)

# Needs a CUDA device; checks the kernels on it, measures, and appends a table to kernels/RESULTS.md.
bench-gpu: $(VENV)/.dev
	$(BIN)/python -m workbench.bench_gpu

bench: ui
	$(BIN)/python -m workbench.bench

docs: $(VENV)/.dev ui
	$(BIN)/python -m pytest tests/test_docs.py $(PYTEST)

pictures: $(VENV)/.dev ui
	$(BIN)/python docs/pictures.py

clean:
	rm -rf build dist workbench/ui/build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis run.ipynb
	find . -name $(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# ------------------------------------------------------------------------------------------------------------ set-up
# What is built is compared with its sources by content, so this is quick when nothing has changed.
ui: $(VENV)/.run
	@$(BIN)/python -m workbench.front_end

# One stamp for each set of packages: as long as pyproject.toml and constraints.txt stay as they are, pip is not called.

# JupyterLab belongs to running: `make run` ends with the command that opens the run in it, and that has to work.
$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/.made
	$(INSTALL) -e '.[lab]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.made
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.run

# `python3 -m venv` needs ensurepip, which Debian keeps in a package of its own. It is asked for beforehand, because
# without it venv fails half-way and leaves a folder that looks like an environment.
$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "The workbench needs Python 3.11 or newer: install it" \
		"(Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "$(PYTHON) is not Python" \
		"3.11 or newer: install one that is and name it: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments:" \
		"install its venv package (Debian: apt-get install python3-venv) and run make again." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
