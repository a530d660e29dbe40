# Everything a new machine needs is python3, python3-venv and make. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/peers
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-servers test-system check bench fuzz audit format clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	@echo "setting up $(VENV) (once; about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

$(PEERS)/.ready: requirements-bench.txt requirements.txt | $(READY)
	@echo "setting up $(PEERS): pandas, polars, DuckDB and ioos-qc, to measure against (once; about a minute)"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

setup: $(READY) ## Create .venv with pinned versions

demo: $(READY) ## Run the main job with simulated sensors; ARGS="--for 60 --plain --json" for scripts
	@$(BIN)/gateway demo $(ARGS)

test: $(READY) ## Tests that need no server and start no whole gateway
	$(BIN)/pytest -n 3 --dist loadgroup -m "not servers" --ignore tests/system $(ARGS)

test-servers: $(READY) ## Tests against real mosquitto, InfluxDB 1.x and VictoriaMetrics
	$(BIN)/pytest -m servers $(ARGS)

test-system: $(READY) ## Whole gateways as processes: killed, unplugged, without a broker, reloaded
	$(BIN)/pytest -n 2 -m "not servers" tests/system $(ARGS)

check: $(READY) ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY) $(PEERS)/.ready ## Measure the core against its peers, CPU, memory and disk; ARGS="core --quick" for a part
	@$(BIN)/python -m bench --json bench/results.json $(ARGS)

fuzz: $(READY) ## Bytes that nobody would send, at everything that reads bytes; QUICK=1 for 30 s
	$(BIN)/python -m tests.fuzz $(if $(QUICK),--inputs 400000 --seconds 30 --seed 0,--json docs/evidence/fuzz.json) $(ARGS)

audit: $(READY) ## Known holes in what we install, hashes, and what is out of date; needs the package index
	@test -x $(VENV)/audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)/audit && \
	  $(VENV)/audit/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.txt; } || true
	@$(BIN)/python -m tests.audit $(ARGS)

format: $(READY) ## Format and fix what can be fixed by machine
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
