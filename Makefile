.DEFAULT_GOAL := check
.PHONY: search test test-exports check torture lint format lock docs compatibility bench clean
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
COMPATIBLE ?= $(shell for python in python3.13 python3.12; do $$python -c "" 2>/dev/null && echo $$python && break; done)

# Set up: a virtual environment from the lock file, then this project in it.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "automl needs Python 3.11 or newer; run for example: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

examples/dates/train.tsv: examples/dates/generate.py .venv/installed
	$(BIN)/python examples/dates/generate.py

# The main job: search the dates example for 3 minutes, export the winner, predict five dates it has never seen.
search: .venv/installed examples/dates/train.tsv
	$(BIN)/automl search examples/dates/task.toml --name dates --out models/dates
	@echo "Five dates that it has never seen:" >&2
	@$(BIN)/automl predict models/dates --input examples/dates/unseen.txt | paste examples/dates/unseen.txt -

test: check

# The tests of a file share what is expensive to make, such as a search that has ended, so one process runs them all.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

# What forks runs by itself: no process may fork once it has loaded JAX, as those of the other tests do.
check: lint
	$(BIN)/python -m pytest tests/torture
	$(BIN)/python -m pytest $(PARALLEL) --ignore tests/torture

# The counted form of what tests/torture and tests/storm do: hundreds of kills, every crash point; then what every kind of model learns.
torture: .venv/installed
	AUTOML_TORTURE=1 $(BIN)/python -m pytest tests/torture -s
	$(BIN)/python -m pytest tests/storm -m slow -s
	$(BIN)/python -m pytest tests/automl tests/search_spaces -m slow

# Every form of a winner, written and run by every family that it can hold; in an environment of its own, with their packages.
test-exports: .venv/installed
	$(PYTHON) -m venv .venv-exports
	$(UV) pip sync --quiet --python .venv-exports/bin/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python .venv-exports/bin/python --no-build-isolation --editable '.[onnx,ctranslate2]'
	.venv-exports/bin/python -m pytest tests/automl/export -m "slow or not slow" -rs

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The second file is what the image holds: what the service needs at the same versions, and nothing that only tests do.
SERVED := postgres mysql images privacy dashboard oidc
lock: .venv/installed
	$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml --group dev --output-file requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml $(SERVED:%=--extra %) --constraint requirements.lock --output-file service.lock

# The documents are Markdown; what can be wrong in them (links, commands, code) is tested.
docs: .venv/installed
	$(BIN)/python -m pytest tests/docs

# The quick tests on a newer Python, and so on a newer JAX, where one is found.
compatibility:
	@if [ -z "$(COMPATIBLE)" ]; then echo "no Python 3.12 or newer was found; nothing is tried"; else \
	  set -ex; $(COMPATIBLE) -m venv .venv-compatibility; \
	  .venv-compatibility/bin/python -m pip install --quiet --disable-pip-version-check uv; \
	  uv="$$PWD/.venv-compatibility/bin/uv pip"; python="--python .venv-compatibility/bin/python"; \
	  $$uv sync --quiet $$python --require-hashes requirements.lock; \
	  $$uv install --quiet $$python --no-deps --no-build-isolation --editable .; \
	  .venv-compatibility/bin/python -m pytest $(PARALLEL); \
	fi

# Measurements against other ways to do the same; minutes each, best on a machine without other work.
BENCHMARKS ?= heterogeneous slots warm start stall step storage kills families recorded_curves head_to_head tasks finishes data decode service canaries
bench: .venv/installed
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf .venv .venv-compatibility .venv-exports models automl.db* automl.checkpoints examples/dates/*.tsv examples/dates/unseen.txt
