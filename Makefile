# Every target sets up what it needs: git, make and Python 3.11 or later are enough.

UV := $(CURDIR)/.ci/uv
export UV

# What a target may be given: make test ARGS="tests/core -k receipt"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo swap test chaos lint bench docs constraints setup

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## simulate an A/B test on an embedded Kafka and read it back
	@$(UV) run --no-default-groups --extra all experiment demo $(ARGS)

swap: setup ## run one program on every backplane, and compare what arrived
	@PYTHONPATH=tests/support:tests/broker $(UV) run --no-sync python tests/support/swap_matrix.py

test: setup ## run all tests (those on the real Apache Kafka need Java 17 and Maven)
	@$(UV) run --no-sync pytest $(ARGS)

chaos: setup ## break brokers, networks, disks and processes for five minutes; audit what arrived
	@EXPERIMENT_CHAOS=full $(UV) run --no-sync pytest tests/chaos $(ARGS)

lint: setup ## check style, types and imports
	@$(UV) run --no-sync ruff check
	@$(UV) run --no-sync ruff format --check
	@$(UV) run --no-sync mypy
	@$(UV) run --no-sync lint-imports

bench: setup ## measure publish against the raw client, and what else has a target
	@$(UV) run --no-sync python -m bench $(ARGS)

docs: setup ## build the documentation, strictly
	@$(UV) run --no-sync zensical build --clean --strict $(ARGS)

constraints: ## move the pinned versions of all dependencies to today's
	@$(UV) run --no-project --with tomlkit python .ci/constraints.py

setup:
	@$(UV) sync --quiet
