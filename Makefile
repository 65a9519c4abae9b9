# Two commands matter: `make demo` and `make test`. Both set up what they need on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
RUNTIME := src/xnn/server/console/vendor/ort-wasm-simd-threaded.wasm

.PHONY: demo serve-demo test check bench console docs clean help

help:
	@echo "make demo   the whole way on real faces, in minutes; writes demo-out/report.html"
	@echo "make serve-demo  a service on this machine with people enrolled, and a page to try it on"
	@echo "make test   all tests"
	@echo "make check  style, types and import directions"
	@echo "make bench  the measurements of benchmarks/ (needs face sets beside the checkout)"
	@echo "make console  what the web console needs from npm (needs Node.js 18 or newer)"
	@echo "make docs   the reference pages and the site"
	@echo "make clean  remove what the commands above made"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; say make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/xnn demo --out demo-out

serve-demo: $(STAMP)
	-$(MAKE) console
	$(BIN)/xnn serve-demo --out demo-out/service

test: $(STAMP)
	$(BIN)/pytest --numprocesses 2

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src tests benchmarks docs *.md

bench: $(STAMP)
	sh benchmarks/run.sh $(BIN)

console: $(RUNTIME)

# npm's own scripts are not run: three files are copied and nothing is built.
$(RUNTIME): console/package-lock.json console/copy.mjs
	@command -v npm > /dev/null \
	  || { echo "npm is needed to fetch onnxruntime-web; install Node.js 18 or newer"; exit 1; }
	npm ci --prefix console --ignore-scripts --no-audit --no-fund
	node console/copy.mjs

docs: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/python docs/generate_cli.py
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) demo-out site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf console/node_modules src/xnn/server/console/vendor
