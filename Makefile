# The whole set-up needs git, make, Python 3.11 to 3.13 with venv (on 3.14 the lock resolves; not tested there), and node >= 20.19 with npm.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
# tests wait for kernels, containers and browsers more than they compute
TEST_WORKERS ?= 2
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
BIN := .venv/bin
PYTEST = PATH="$(abspath $(dir $(UV))):$$PATH" $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal
READY := .venv/.ready
NODE := jupyter_ext/node_modules/.ready
FRONT := $(shell find jupyter_ext/src jupyter_ext/style -type f 2>/dev/null) jupyter_ext/package.json jupyter_ext/tsconfig.json

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: setup
setup: $(READY) ## virtual environment, Python packages, JupyterLab extension

.uv/bin/uv:
	@echo "uv is not on PATH: installing it into .uv"
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

$(NODE): jupyter_ext/package-lock.json
	@echo "installing the front end's packages"
	@cd jupyter_ext && npm ci --silent --no-audit --no-fund
	@touch $@

jupyter_ext/mlops_jupyter/labextension/package.json: $(NODE) $(FRONT)
	@echo "building the JupyterLab extension"
	@cd jupyter_ext && npm run --silent build
	@touch $@

$(READY): pyproject.toml requirements/lock.txt jupyter_ext/mlops_jupyter/labextension/package.json | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@echo "installing the Python packages"
	@$(UV) pip sync --quiet --python $(BIN)/python requirements/lock.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.PHONY: demo
demo: $(READY) ## run the quickstart headless in a fresh project
	@$(BIN)/python -m mlops_workbench.demo demo

.PHONY: lab
lab: $(READY) ## open JupyterLab with the sidebar and the notebooks
	@$(BIN)/python -c 'from pathlib import Path; from mlops_workbench.notebooks.templates import copy_notebooks; copy_notebooks(Path("demo/by-hand"))'
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) \
	    --ServerApp.root_dir="$(CURDIR)/demo/by-hand" "$(CURDIR)/demo/by-hand/quickstart.ipynb"

.PHONY: test
test: $(READY) | $(UV) ## every test: Python, TypeScript, server, docker, browser
	@cd jupyter_ext && npm test --silent
	@$(PYTEST) --durations=25

.PHONY: check
check: lint | $(UV) ## types, style, and the quick tests, which need no service: four minutes
	@cd jupyter_ext && npm test --silent
	@$(PYTEST) -m "not slow"

.PHONY: lint
lint: $(READY) ## types and style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@cd jupyter_ext && npm run --silent lint

# The environment is enough: a front end that no longer fits the verbs need not be built first.
.PHONY: generated docs
docs: generated
generated: $(if $(wildcard $(READY)),,$(READY)) ## write what is made from the code: docs, the front end's types and fixtures
	@PYTHONPATH=tests/support $(BIN)/python -m generated

.PHONY: lock
lock: $(UV) ## compute requirements/lock.txt anew
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --extra demo --extra postgres --group test --group lint \
	    --custom-compile-command "make lock" pyproject.toml --output-file requirements/lock.txt

.PHONY: wheel
wheel: $(READY) ## dist/*.whl
	@$(UV) build --quiet --wheel --out-dir dist

.PHONY: clean
clean: ## remove what was built, not what was recorded
	@rm -rf .venv .uv dist jupyter_ext/node_modules jupyter_ext/lib jupyter_ext/mlops_jupyter/labextension
