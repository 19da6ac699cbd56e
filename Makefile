PYTHON ?= python3
DEV := .venv
DEMO := .venv-demo
RUN := $(DEV)/bin/python -m
NATIVE := setup.py $(wildcard monkit_core/engine/native*.p* monkit_core/engine/native.h)
SOURCES := setup.py monkit_core monkit_present monkit_plugins monkit_workflow benchmarks docs examples tests
CHROMIUM := /usr/bin/chromium
PROMETHEUS := /usr/bin/prometheus
USUAL := not browser and not service and not slow

.DEFAULT_GOAL := help
.PHONY: help demo demo-workflow test test-all lint type format golden docs bench bench-check wheel clean

help: ## what there is to do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(DEMO)/ready ## start the monitored reverse proxy with traffic; its port is localhost:9000
	@exec $(DEMO)/bin/python examples/vlite.py --demo

demo-workflow: $(DEMO)/ready ## an order as a durable workflow; its worker is killed twice, and the order is delivered
	@exec $(DEMO)/bin/python examples/order.py demo --database $(DEMO)/order.db

test: $(DEV)/ready ## all tests that need Python packages only
	$(RUN) pytest -n auto -m "$(USUAL)"
	@echo 'Left out, and run by "make test-all": the pure engine, tests in a real browser, with servers, and slow ones.'

test-all: test $(DEV)/browser $(DEV)/services ## the rest too: the other engine, a browser, servers; installs what they need
	MONKIT_ENGINE=pure $(RUN) pytest -n auto -m "$(USUAL)"
	$(RUN) pytest -m "browser or service or slow"

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

bench: $(DEV)/bench ## measure what monitoring costs beside what others cost; writes docs/explanation/overhead.md
	$(RUN) benchmarks

bench-check: $(DEV)/ready ## hold the bars of performance, a minute an engine; ENGINE=native or pure for one
	$(RUN) benchmarks --check $(if $(ENGINE),--engine $(ENGINE))

wheel: $(DEV)/ready ## sdist, a wheel with the compiled engine and one without it, in dist/
	$(RUN) build
	MONKIT_PURE=1 $(RUN) build --wheel

clean: ## remove everything that can be made again
	rm -rf $(DEV) $(DEMO) build dist *.egg-info monkit_core/engine/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEV)/ready: pyproject.toml $(NATIVE)
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --editable '.[dev]'
	@touch $@

$(DEMO)/ready: pyproject.toml $(NATIVE)
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet --editable '.[demo]'
	@touch $@

$(DEV)/browser: $(DEV)/ready
	$(DEV)/bin/pip install --quiet --editable '.[browser]'
	test -x $(CHROMIUM) || (apt-get update -qq && apt-get install -qq -y chromium)
	@touch $@

$(DEV)/services: $(DEV)/ready
	$(DEV)/bin/pip install --quiet --editable '.[service]'
	command -v npm > /dev/null || (apt-get update -qq && apt-get install -qq -y --no-install-recommends npm)
	npm install --silent --no-audit --no-fund --prefix $(DEV)/npm speedscope@1
	test -x $(PROMETHEUS) || (apt-get update -qq && apt-get install -qq -y --no-install-recommends prometheus)
	command -v dot >/dev/null || (apt-get update -qq && apt-get install -qq -y graphviz)
	@touch $@

$(DEV)/bench: $(DEV)/ready
	$(DEV)/bin/pip install --quiet --editable '.[bench]'
	@touch $@
