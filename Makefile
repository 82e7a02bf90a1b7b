# `make` alone prints what each target does.
# ARGS goes to the program behind the target: make run ARGS="--port 9500 --no-browser", make test ARGS="-k window -x".

.DEFAULT_GOAL := help
.PHONY: help run venv venv-test check format docs test test-runtimes bench soak seed-history screenshots clean

ARGS ?=
BROWSER ?= yes

APP := .venv/bin/python
TEST := .venv-test/bin
NPM_BIN := node_modules/.bin
# What is not born yet is left out.
TYPED := $(wildcard wfmon pages callbacks app.py scripts tests/kit/services.py tests/kit/closing.py)
LINTED := $(wildcard wfmon pages callbacks app.py scripts tests bench examples)
JS_TESTS := $(wildcard tests/js/*.test.mjs tests/js/*/*.test.mjs)

help: ## Print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

run: .venv/stamp ## Install what is missing, start the monitor and open it in the browser
	@exec $(APP) app.py $(ARGS)

venv: .venv/stamp ## The app's environment (.venv)

venv-test: .venv-test/stamp ## The environment of the tests and tools (.venv-test)

check: .venv-test/stamp node_modules/stamp ## Lint, format, types, layers, JavaScript tests
	$(TEST)/ruff check $(LINTED)
	$(TEST)/ruff format --check $(LINTED)
	$(TEST)/mypy $(TYPED)
	$(TEST)/lint-imports
	$(NPM_BIN)/biome check --error-on-warnings
	$(NPM_BIN)/tsc
	$(if $(JS_TESTS),@scripts/node.sh $(JS_TESTS))

format: .venv-test/stamp node_modules/stamp ## Format and mend what the linter can mend by itself
	$(TEST)/ruff check --fix $(LINTED)
	$(TEST)/ruff format $(LINTED)
	$(NPM_BIN)/biome check --write

docs: .venv-test/stamp ## Write docs/metrics.md, docs/settings.md and the history's schema.sql anew from the code
	$(TEST)/python scripts/make_docs.py

test: .venv-test/stamp ## All tests, with a real Chromium (BROWSER=no leaves the browser out; ARGS="-k NAME" runs some)
ifeq ($(BROWSER),yes)
	@scripts/browser.sh
	@$(TEST)/python scripts/lanes.py $(ARGS)
else
	@$(TEST)/python scripts/lanes.py --no-browser $(ARGS)
endif

test-runtimes: .venv-runtimes/stamp ## Tests against real model runtimes (installs PyTorch and llama.cpp: minutes, 2 GB)
	.venv-runtimes/bin/pytest -m runtimes $(ARGS)

bench: .venv-test/stamp ## Measure every promise on this machine and print the table
	@scripts/browser.sh
	$(TEST)/python bench/live.py $(ARGS)
	$(TEST)/python bench/models.py $(ARGS)
	$(TEST)/python bench/flood.py $(ARGS)
	$(TEST)/python bench/store.py $(ARGS)

soak: .venv-test/stamp ## Watch five clients for eleven minutes: does anything grow or leak?
	@scripts/browser.sh
	$(TEST)/python bench/soak.py $(ARGS)

seed-history: .venv-test/stamp ## Make a month of generated history to look at, in build/seed-history (ARGS="--force": anew)
	$(TEST)/python scripts/seed_history.py $(ARGS)

screenshots: .venv-test/stamp ## Take the pictures in docs/screenshots anew (make seed-history first)
	@scripts/browser.sh
	$(TEST)/python scripts/screenshots.py $(ARGS)

clean: ## Remove the environments and caches (never the data folder)
	rm -rf .venv .venv-test .venv-runtimes node_modules build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/stamp: requirements.txt
	@scripts/venv.sh .venv requirements.txt
	@touch $@

.venv-runtimes/stamp: requirements.txt requirements-test.txt requirements-runtimes.txt
	@scripts/venv.sh .venv-runtimes requirements-runtimes.txt
	@touch $@

.venv-test/stamp: requirements.txt requirements-test.txt
	@scripts/venv.sh .venv-test requirements-test.txt
	@touch $@

node_modules/stamp: package.json package-lock.json .npmrc
	@scripts/npm.sh
	@touch $@
