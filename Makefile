# Everything a new machine needs is python3, python3-venv and make. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/peers
BOARD := $(VENV)/peers-thingsboard
THIRD := $(VENV)/third-party
ARGS ?=
FULL := --kills 200 --outage-hours 168 --orders 12 --damages 12

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-servers test-system soak sim-week test-third-party test-kernel check bench bench-peers fuzz audit format clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

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

$(THIRD)/.ready: requirements-third-party.txt | $(READY)
	@echo "setting up $(THIRD): drivers of other people, to read the simulated parts with (once; about a minute)"
	@rm -rf $(THIRD) && $(PYTHON) -m venv $(THIRD)
	@$(THIRD)/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
	  -r requirements-third-party.txt
	@touch $@

$(BOARD)/.ready: requirements-bench-delivery.txt | $(READY)
	@echo "setting up $(BOARD): the ThingsBoard IoT gateway, to measure against (once; about a minute)"
	@$(PYTHON) -m venv $(BOARD)
	@$(BOARD)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench-delivery.txt
	@touch $@

setup: $(READY) ## Create .venv with pinned versions

demo: $(READY) ## Run the main job with simulated sensors; ARGS="--for 60 --plain --json" for scripts
	@$(BIN)/gateway demo $(ARGS)

test: $(READY) ## Tests that need no server and start no whole gateway
	$(BIN)/pytest -n 4 --dist loadscope --no-loadscope-reorder -m "not servers" --ignore tests/system $(ARGS)

test-servers: $(READY) ## Tests against real mosquitto, InfluxDB 1.x and VictoriaMetrics
	$(BIN)/pytest -m servers $(ARGS)

test-system: $(READY) ## Whole gateways as processes, killed and cut off, disks full and damaged; QUICK=1 for 8 minutes
	$(BIN)/pytest -n 2 --dist worksteal -m "not servers and not slow" tests/system $(if $(QUICK),,$(FULL)) $(ARGS)
	$(if $(QUICK),,$(BIN)/pytest -m slow tests/system --paced-minutes 60 $(ARGS) || test $$? -eq 5)

soak: $(READY) ## Half an hour of 24 sensors that fail, broker and bridge killed now and then: memory stays flat
	@$(BIN)/python -m bench.soak --json $(ARGS)

sim-week: $(READY) ## A week of 24 sensors in virtual time, timed: a quarter of an hour on two cores
	@$(BIN)/python -m bench.week --json $(ARGS)

test-third-party: $(READY) $(THIRD)/.ready ## Other people's drivers against the simulated parts; two minutes
	THIRD_PARTY=1 THIRD_PARTY_EVIDENCE=docs/evidence/third-party.json $(BIN)/pytest tests/third_party $(ARGS)

test-kernel: $(READY) ## Simulated parts as true /dev nodes under a Linux of its own; says what is missing
	KERNEL_TEST=1 KERNEL_EVIDENCE=docs/evidence/kernel.json $(BIN)/pytest tests/kernel $(ARGS)

check: $(READY) ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY) $(PEERS)/.ready ## Measure the core against its peers, CPU, memory and disk; ARGS="core --quick" for a part
	@$(BIN)/python -m bench --json bench/results.json $(ARGS)

bench-peers: $(READY) $(BOARD)/.ready ## Measure delivery against ThingsBoard's gateway and a mosquitto bridge; 20 minutes, as root
	@$(BIN)/python -m bench.delivery $(ARGS)

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
