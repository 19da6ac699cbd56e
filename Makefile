PYTHON ?= python3
DEV := .venv
DEMO := .venv-demo
RUN := $(DEV)/bin/python -m
SOURCES := monkit_core monkit_present monkit_plugins docs examples tests
CHROMIUM := /usr/bin/chromium

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint type format golden docs build clean

help: ## what there is to do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(DEMO)/ready ## start the monitored reverse proxy with traffic; its port is localhost:9000
	@exec $(DEMO)/bin/python examples/vlite.py --demo

test: $(DEV)/ready ## all tests that need Python packages only
	$(RUN) pytest -m "not browser and not slow"
	@echo 'Left out, and run by "make test-all": tests in a real browser (tests/browser), tests marked slow.'

test-all: test $(DEV)/browser ## the rest too: real browser, long tests; installs what they need
	$(RUN) pytest -m "browser or slow"

lint: $(DEV)/ready ## ruff: rules and format
	$(RUN) ruff check $(SOURCES)
	$(RUN) ruff format --check $(SOURCES)

type: $(DEV)/ready ## mypy, strict
	$(RUN) mypy

format: $(DEV)/ready ## rewrite the sources in the house's format
	$(RUN) ruff check --fix $(SOURCES)
	$(RUN) ruff format $(SOURCES)

golden: $(DEV)/ready ## rewrite the golden files; read the difference before committing it
	MONKIT_GOLDEN=1 $(RUN) pytest -q -k golden
	git diff --stat -- tests/golden

docs: $(DEV)/ready ## rewrite the generated tables of the reference
	$(DEV)/bin/python docs/tables.py

build: $(DEV)/ready ## sdist and wheel in dist/
	$(RUN) build

clean: ## remove everything that can be made again
	rm -rf $(DEV) $(DEMO) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEV)/ready: pyproject.toml
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --editable '.[dev]'
	@touch $@

$(DEMO)/ready: pyproject.toml
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet --editable '.[demo]'
	@touch $@

$(DEV)/browser: $(DEV)/ready
	$(DEV)/bin/pip install --quiet '.[browser]'
	test -x $(CHROMIUM) || (apt-get update -qq && apt-get install -qq -y chromium)
	@touch $@
