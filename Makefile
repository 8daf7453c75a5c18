# The set-up and the everyday commands. `make` alone lists them.

MINUTES ?= 10
SOAK_MINUTES ?= 60
RUN_DIR ?= runs/first
VENV ?= .venv
# Any Python from 3.11 on that can make virtual environments; name another with PYTHON=...
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

BIN := $(VENV)/bin
TRAINABLE := $(VENV)/.trainable
INSTALLED := $(VENV)/.installed
CLUSTERED := $(VENV)/.clustered
PACKAGING := setup.cfg pyproject.toml constraints.txt
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt

# The CMake file of hanabi-learning-environment is older than what CMake 4 accepts.
export CMAKE_POLICY_VERSION_MINIMUM = 3.5

.DEFAULT_GOAL := help
.PHONY: help install train test test-slow test-chaos test-cluster lint format bench soak cartridges clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: $(INSTALLED) ## set up .venv with everything: training, tests, benches

train: $(TRAINABLE) ## train on two-player Hanabi (MINUTES=10 RUN_DIR=runs/first); resumes a run that is there
	$(BIN)/troupe train hanabi --players 2 --minutes $(MINUTES) --run-dir $(RUN_DIR) \
		$(if $(wildcard $(RUN_DIR)/config.json),--resume)
	$(BIN)/troupe evaluate $(RUN_DIR) --games 1000 --seed 1

test: $(INSTALLED) lint ## lint, and run the tests (minutes)
	$(BIN)/python -m pytest --quiet --numprocesses auto --dist loadfile

test-slow: $(INSTALLED) ## run the long tests: millions of moves, hundreds of kills
	$(BIN)/python -m pytest -m slow --timeout 7200 --durations 20

test-chaos: $(INSTALLED) ## run every test that kills processes, the long ones too
	$(BIN)/python -m pytest -m chaos --timeout 7200 --durations 20

test-cluster: $(CLUSTERED) ## run the tests that need Ray, which is installed for them (80 MB)
	$(BIN)/python -m pytest tests/transport/test_cluster.py tests/marl/remote/test_cluster_run.py \
		-m "slow or not slow" --timeout 7200 --durations 20

lint: $(INSTALLED) ## check style, format and types
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy --no-error-summary

format: $(INSTALLED) ## bring the code into its format
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

bench: $(INSTALLED) ## run every bench for a few seconds
	$(BIN)/troupe bench all

soak: $(INSTALLED) ## train for an hour under faults, and see that memory stays level (SOAK_MINUTES=60)
	$(BIN)/troupe bench soak --seconds $$(( $(SOAK_MINUTES) * 60 ))

cartridges: $(TRAINABLE) ## build our Game Boy cartridges from their source in C (takes sdcc)
	$(BIN)/python -m games.gameboy.cartridges.build

clean: ## remove the environment and the caches; runs stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Troupe needs Python 3.11 or later with venv: install it (Debian," \
		"Ubuntu: apt-get install python3 python3-venv) or name it: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What training needs: wheels only, no compiler.
$(TRAINABLE): $(PACKAGING) | $(BIN)/python
	$(PIP) --editable .
	@touch $@

# The peers that tests and benches compare with; one of them is compiled here.
$(INSTALLED): $(TRAINABLE)
	@command -v c++ >/dev/null || { echo "The tests compare with hanabi-learning-environment, which is" \
		"compiled here: install a C++ compiler (Debian, Ubuntu: apt-get install g++; macOS:" \
		"xcode-select --install). Training needs none: make train" >&2; exit 1; }
	$(PIP) --editable '.[all]'
	@touch $@

$(CLUSTERED): $(INSTALLED)
	$(PIP) --editable '.[cluster]'
	@touch $@
