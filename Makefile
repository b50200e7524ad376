# Everything that is done with this project, by name. `make` alone lists the targets.
# A virtual environment is made from nothing but Python >= 3.11 and this file; a second call finds it ready.

SHELL := /bin/sh
VENV := .venv
MUTATION_VENV := .venv-mutation
BIN := $(VENV)/bin
PIP_TOOLS := 7.6.2
JOBS ?= 2
ARGS ?=
PIP_INSTALL := -m pip install --quiet --no-input --disable-pip-version-check

# A path of the caller's would shadow what the environment holds; without a home, caches stay beside it.
unexport PYTHONPATH PYTHONHOME
export PIP_USER := 0
ifeq ($(strip $(HOME)),)
export HOME := $(CURDIR)/$(VENV)/home
endif

# $(call with_python,COMMAND) runs COMMAND with $$python, the first one that is new enough and can make environments.
define with_python
found=; for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=yes; break; fi; \
done; \
if [ -z "$$found" ]; then \
  echo "swirl: this needs Python 3.11 or newer with its venv module; python3 here is: $$(python3 --version 2>&1 || true)" >&2; \
  echo "swirl: on Debian or Ubuntu: apt-get install python3 python3-venv; or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
  exit 1; \
fi; \
$(1)
endef

# $(call install,PYTHON,FILES) installs pinned requirements, then the project itself, which pip cannot check by hash.
define install
$(1) $(PIP_INSTALL) --require-hashes $(2) && $(1) $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-kafka test check lint format types imports docstrings docs bench bench-detection chaos mutation lock clean tweets jars

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.run tweets ## play the ads pipeline: two faults that look alike, told apart (ARGS="--headless --seed 7")
	@$(BIN)/swirl demo $(ARGS)

demo-kafka: $(VENV)/.kafka tweets ## the same through a real broker and a real worker, no Docker (ARGS="--headless")
	@$(BIN)/swirl demo --kafka $(ARGS)

test: $(VENV)/.dev tweets jars ## all tests, with the coverage of branches (ARGS="-k incident")
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --cov --cov-report=term $(if $(ARGS),$(ARGS),--cov-fail-under=90)

check: lint format types imports docstrings docs ## what a reader should not have to look for: style, types, layers, documentation

lint: $(VENV)/.dev
	@$(BIN)/ruff check .

format: $(VENV)/.dev
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev
	@$(BIN)/mypy

imports: $(VENV)/.dev
	@$(BIN)/lint-imports --no-logo

docstrings: $(VENV)/.dev
	@$(BIN)/interrogate --quiet swirl detectors pipelines

docs: $(VENV)/.dev
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/house/test_documentation.py

bench: $(VENV)/.dev ## speed and memory, each figure beside its limit (ARGS="--only sdk")
	@$(BIN)/python tests/benchmarks/run.py $(ARGS)

bench-detection: $(VENV)/.dev ## what the detectors see, miss and cry wolf at, written to docs/detection.md (ARGS="--only nab")
	@$(BIN)/python -m tests.benchmarks.detection.run $(ARGS)

chaos: $(VENV)/.dev ## a million records while workers are killed and brokers go away: what was lost, what counted twice (ARGS="--seed 3")
	@$(BIN)/python -m tests.chaos.run $(ARGS)

mutation: $(MUTATION_VENV)/.ready ## do the tests notice a changed line in what decides? (ARGS="swirl.window*")
	@cd $(CURDIR) && $(MUTATION_VENV)/bin/mutmut run --max-children $(JOBS) $(ARGS)
	@$(MUTATION_VENV)/bin/mutmut results | grep -v ': not checked' || echo "every mutant was noticed"

tweets: # cached; without a network the demo announces its synthetic feed
	@$(BIN)/python -m swirl_pipelines.ads.fetch || true

jars: # of a real broker, cached; where they cannot be had this says why, and the tests that need it are skipped
	@$(BIN)/python -m swirl.testing.jars || true

$(VENV)/.made:
	@echo "swirl: making the virtual environment $(VENV)"
	@$(call with_python,"$$python" -m venv $(VENV))
	@touch $@

$(VENV)/.run: requirements/run.txt pyproject.toml | $(VENV)/.made
	@echo "swirl: installing what a run needs, pinned (once, about half a minute)"
	@$(call install,$(BIN)/python,-r requirements/run.txt)
	@touch $@

$(VENV)/.kafka: requirements/kafka.txt pyproject.toml | $(VENV)/.made
	@echo "swirl: installing what a broker and a worker need, pinned (once, about a minute)"
	@$(call install,$(BIN)/python,-r requirements/kafka.txt)
	@touch $@ $(VENV)/.run

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/.made
	@echo "swirl: installing what tests and checks need, pinned (once, about a minute)"
	@$(call install,$(BIN)/python,-r requirements/dev.txt)
	@touch $@ $(VENV)/.run $(VENV)/.kafka

$(MUTATION_VENV)/.ready: requirements/dev.txt requirements/mutation.txt pyproject.toml
	@echo "swirl: installing what the mutation run needs, pinned, in $(MUTATION_VENV)"
	@$(call with_python,"$$python" -m venv $(MUTATION_VENV))
	@$(call install,$(MUTATION_VENV)/bin/python,-r requirements/dev.txt -r requirements/mutation.txt)
	@touch $@

lock: ## pin again what pyproject.toml asks for (ARGS="--upgrade" for newer versions)
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT \
	  && python3.11 -m venv "$$tools" && "$$tools/bin/python" $(PIP_INSTALL) pip-tools==$(PIP_TOOLS) \
	  && "$$tools/bin/python" requirements/compile.py $(ARGS)

clean: ## remove what these targets made
	@rm -rf $(VENV) $(MUTATION_VENV) mutants build dist .coverage .coverage.* .hypothesis .benchmarks \
	  .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
