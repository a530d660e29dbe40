# Everything a new machine needs is python3, python3-venv and make. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-servers test-system check bench format clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	@echo "setting up $(VENV) (once; about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

setup: $(READY) ## Create .venv with pinned versions

demo: $(READY) ## Run the main job with simulated sensors; ARGS="--for 60 --plain --json" for scripts
	@$(BIN)/gateway demo $(ARGS)

test: $(READY) ## Tests that need no server and start no whole gateway
	$(BIN)/pytest -n 3 --dist worksteal -m "not servers" --ignore tests/system $(ARGS)

test-servers: $(READY) ## Tests against real mosquitto, InfluxDB 1.x and VictoriaMetrics
	$(BIN)/pytest -m servers $(ARGS)

test-system: $(READY) ## Whole gateways as processes: killed, unplugged, without a broker, reloaded
	$(BIN)/pytest -n 2 -m "not servers" tests/system $(ARGS)

check: $(READY) ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY) ## Measure CPU, memory, disk and kernels; prints figures and ratios
	@$(BIN)/python -m bench $(ARGS)

format: $(READY) ## Format and fix what can be fixed by machine
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
