# Two commands do everything on a Debian 12 machine, as root: `make demo` and `make test`.
# ARGS="..." passes options on: make demo ARGS="--no-adapt", make test ARGS="tests/policies -k verdict".

# VENV=.venv-3.12 BASE_PYTHON=python3.12 makes and uses another environment beside it.
VENV := .venv
BASE_PYTHON :=
export SEPTUM_VENV := $(VENV)
export SEPTUM_PYTHON := $(BASE_PYTHON)
PYTHON := $(VENV)/bin/python
WITH_OVS := $(PYTHON) scripts/with_ovs.py
CODE := topology policies detection response analysis proving ryu_apps console mininet_tests benchmarks
SOURCES := $(CODE) tests scripts conftest.py

.DEFAULT_GOAL := help
.PHONY: help setup setup-python demo test check format docs bench clean

help:
	@echo 'make demo             the main job: a network under attack, contained (root)'
	@echo 'make test             all tests; FAST=1: the quick ones without root and switches'
	@echo 'make check            formatting, lint, types, import layers'
	@echo 'make bench [NAME=x]   measurements, one line each'
	@echo 'make setup            .venv/ and missing Debian packages (the others call it)'
	@echo 'make format | docs | clean'

setup:
	@scripts/setup.sh

setup-python:
	@scripts/setup.sh --python-only

demo: setup
	@$(WITH_OVS) $(VENV)/bin/septum demo $(ARGS)

ifeq ($(FAST),1)
test: setup-python
	@$(PYTHON) -m pytest tests -m 'not thorough' --hypothesis-profile=fast -n 2 $(ARGS)
else
test: setup
ifdef ARGS
	@$(WITH_OVS) $(PYTHON) -m pytest $(ARGS)
else
	@status=0; \
	$(PYTHON) -m pytest tests -n 2 || status=$$?; \
	$(WITH_OVS) $(PYTHON) -m pytest mininet_tests || status=$$?; \
	exit $$status
endif
endif

check: setup-python
	@$(PYTHON) -m ruff format --check --output-format concise --quiet $(SOURCES) || \
		{ echo 'check: some files are not formatted: run `make format`' >&2; exit 1; }
	@$(PYTHON) -m ruff check --quiet $(SOURCES)
	@$(PYTHON) -m mypy
	@$(VENV)/bin/lint-imports --no-logo

format: setup-python
	@$(PYTHON) -m ruff format $(SOURCES)
	@$(PYTHON) -m ruff check --fix $(SOURCES)

docs: setup-python
	@$(PYTHON) scripts/command_docs.py

bench: setup
	@$(WITH_OVS) $(PYTHON) -m benchmarks $(NAME)

clean:
	@rm -rf .venv .venv-3.12 build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
