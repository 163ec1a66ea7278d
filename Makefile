# make run    start a server; installs what it needs first      make run ARGS="--port 9000"
# make test   check the code and run all tests                  make test ARGS="-k wire"
# make lint   check the code only
# make chaos  kill servers and databases under load; every acknowledgement must hold
# make bench  measure the server beside a bare C server that sends the same bytes
# make bench-web  measure what a snapshot costs the page
# make bench-building  measure building and saving, on a database of its own
# make bench-brain  measure judging texts, and what a busy lane costs the ticks of a world
# make clean  remove what the others made
#
# TORCH=cpu    with the first of these: a torch without CUDA, 200 MB instead of gigabytes
# TORCH=none   with `make run`: without torch, so without models; the rules moderate alone
#
# Everything is installed into .venv. An empty file there (a stamp) remembers that an installation
# is done; it is done again when pyproject.toml changes. The tools for the page's modules go into
# clients/web/node_modules, whose own list of what it holds is the stamp there.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# The first Python that is new enough, unless PYTHON says which.
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$each -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo $$each && break; done)

WEB := clients/web
NODE_MODULES := $(WEB)/node_modules/.package-lock.json
WEB_TOOLS := $(BIN)/python $(WEB)/tools.py

TORCH ?= any
TORCH_INDEX := $(if $(filter cpu,$(TORCH)),--extra-index-url https://download.pytorch.org/whl/cpu)
WHAT := $(if $(filter none,$(TORCH)),.,.[brain])
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_INDEX)

.DELETE_ON_ERROR:
.PHONY: run test lint bench bench-web bench-building bench-brain chaos clean

run: $(VENV)/stamp-run
	@echo "Starting the server; Ctrl-C ends it."
	@exec $(BIN)/atrium serve $(ARGS)

test: lint
	@echo "Running all tests."
	@$(BIN)/pytest --numprocesses auto --maxprocesses 4 $(ARGS)

lint: $(VENV)/stamp-test $(NODE_MODULES)
	@echo "Checking style and types, of the page's modules with $$($(WEB_TOOLS) which)."
	@$(BIN)/ruff check
	@$(BIN)/pyright
	@$(WEB_TOOLS) tsc

chaos: $(VENV)/stamp-test
	@cd tests/postgres && exec $(CURDIR)/$(BIN)/python -m chaos $(ARGS)

bench: $(VENV)/stamp-run
	@exec $(BIN)/python -m atrium_loadtest.bench $(ARGS)

bench-web: $(VENV)/stamp-test $(NODE_MODULES)
	@$(BIN)/python $(WEB)/tools.py bench $(ARGS)

bench-building: $(VENV)/stamp-run
	@exec $(BIN)/python -m atrium_loadtest.builders $(ARGS)

bench-brain: $(VENV)/stamp-test
	@$(BIN)/python tests/brain_cost.py
	@$(BIN)/python tests/brain_load.py $(ARGS)
	@$(BIN)/python tests/ai_cost.py
	-@$(BIN)/python tests/picture_cost.py

clean:
	@rm -rf $(VENV) $(WEB)/node_modules dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@echo "Removed the installation and all caches."

$(VENV)/stamp-venv:
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(IS_NEW_ENOUGH)' 2>/dev/null || { \
		echo "Atrium needs Python 3.11 or newer and found none:" \
			"install it, or say where it is with PYTHON=/path/to/python3." >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)."
	@$(PYTHON) -m venv $(VENV) || { echo "The environment could not be created:" \
		"on Debian and Ubuntu install the package python3-venv." >&2; exit 1; }
	@touch $@

$(VENV)/stamp-run: $(VENV)/stamp-venv pyproject.toml hatch_build.py
	@echo "Installing Atrium into $(VENV); the first time takes a minute or two."
	@$(PIP_INSTALL) --editable "$(WHAT)"
	@touch $@

$(VENV)/stamp-test: $(VENV)/stamp-venv pyproject.toml hatch_build.py
	@echo "Installing Atrium and its test tools into $(VENV); the first time takes a few minutes."
	@$(PIP_INSTALL) --editable ".[test]"
	@touch $@ $(VENV)/stamp-run

# The Node is the machine's own or comes with the test tools, so these are installed before.
$(NODE_MODULES): $(WEB)/package-lock.json $(WEB)/package.json | $(VENV)/stamp-test
	@echo "Installing the tools for the page's modules into $(WEB)/node_modules."
	@$(WEB_TOOLS) install
	@touch $@
