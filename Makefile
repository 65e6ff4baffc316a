# Two commands are all the set-up there is: `make up` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help up down test lint types unit e2e bench images system

help:
	@echo "make up      install what is missing and start a cluster"
	@echo "make down    stop it (data stays)"
	@echo "make images  build the images of the tour and of the tests"
	@echo "make test    lint, types, unit, contract, simulation and e2e tests"
	@echo "make bench   the table of docs/performance.md on this machine"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || e2e/install-venv.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

system:
	@e2e/install-system.sh

up: $(STAMP) system
	$(BIN)/kapi up

down: $(STAMP)
	$(BIN)/kapi down

images: $(STAMP) system
	e2e/images/build.sh

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/pytest tests

e2e: $(STAMP) system images
	$(BIN)/pytest e2e

test: $(STAMP) lint types system images
	$(BIN)/pytest tests e2e

bench: $(STAMP) system images
	$(BIN)/python -m bench
