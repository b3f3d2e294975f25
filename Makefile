# Every target works from a bare clone. The first one builds .venv with Python's own venv and pip, from
# pinned and hashed packages: constraints.txt for the job, constraints-dev.txt on top of it for tests,
# checks and benchmarks.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DEVELOPED := .venv/.developed
DATA ?= demo

# Tests start hundreds of processes that import the same modules: they may keep the byte code.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run install dev test test-all promises soak check format bench lock clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Train on the sample data, publish, and print commands to try next.
	@$(BIN)/batch run --data $(DATA)

install: $(INSTALLED) ## Install the job into .venv.

dev: $(DEVELOPED) ## Install all extras and the tools for tests, checks and benchmarks as well.

# A file's tests stay in one process: they share its servers and its TensorFlow.
PYTEST := $(BIN)/pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: $(DEVELOPED) ## Run the fast tests; they start and stop the servers they need.
	@$(PYTEST) --ignore tests/promises -m "not slow"

test-all: $(DEVELOPED) ## Run all tests but the promises.
	@$(PYTEST) --ignore tests/promises

promises: $(DEVELOPED) ## Inject faults into servers, networks, files and runs: docs/promises.md.
	@$(PYTEST) tests/promises

soak: $(DEVELOPED) ## Run the promises in their long form: a thousand kills, every prefix, every lost reply.
	@$(BIN)/pytest tests/promises --soak -v --durations 0 --durations-min 60

check: $(DEVELOPED) ## Check style, formatting, types, imports and wording.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python tests/structure/words.py
	@! git grep -nE '^(<{7}|>{7}) ' # a conflict that was not resolved

format: $(DEVELOPED) ## Fix what ruff can fix.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(DEVELOPED) ## Measure the figures of docs/performance.md and docs/models.md; takes minutes.
	@$(BIN)/python benchmarks/whole_job.py --data $(DATA)
	@$(BIN)/python benchmarks/refresh.py --data $(DATA) --quality
	@$(BIN)/python benchmarks/training.py --data $(DATA)
	@$(BIN)/python benchmarks/topk.py
	@$(BIN)/python benchmarks/rules.py
	@$(BIN)/python benchmarks/ranked.py
	@$(BIN)/python benchmarks/publish.py
	@$(BIN)/python benchmarks/growth.py
	@$(BIN)/python benchmarks/reader.py
	@$(BIN)/python benchmarks/reasons.py
	@$(BIN)/python benchmarks/startup.py
	@$(BIN)/python benchmarks/serving.py
	@$(BIN)/python benchmarks/filters.py
	@$(BIN)/python benchmarks/browse.py
	@rm -rf .bench && for scale in 0.05 0.1; do \
		$(BIN)/batch simulate --quiet --like ml-32m --scale $$scale .bench/$$scale; done
	@$(BIN)/python benchmarks/ingest.py .bench/0.05 .bench/0.1 && rm -rf .bench
	@$(BIN)/python benchmarks/engines.py
	@$(BIN)/python benchmarks/quality.py --data $(DATA) --churn
	@$(BIN)/python benchmarks/quality.py --data $(DATA) --split time
	@$(BIN)/batch simulate --quiet --like ml-latest-small --scale 10 --movies 3700 .quality/million
	@$(BIN)/python benchmarks/quality.py --data .quality/million --seeds 1 --peers "most popular" EASE
	@$(BIN)/python benchmarks/new_users.py --data $(DATA)
	@$(BIN)/python benchmarks/similar.py --data $(DATA)
	@$(BIN)/python benchmarks/for_ratings.py --data $(DATA)
	@$(BIN)/python benchmarks/recent.py --data $(DATA)
	@$(BIN)/python benchmarks/report.py

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: $(DEVELOPED) ## Pin the newest versions of all packages, with hashes.
	@$(COMPILE) --upgrade --all-extras --group dev pyproject.toml --output-file constraints-dev.txt
	@$(COMPILE) --upgrade --extra batch --extra browse --extra embedded --extra demo --extra sql --group runtime \
		--constraints constraints-dev.txt pyproject.toml --output-file constraints.txt

clean: ## Remove .venv and caches; artifacts and the store stay.
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The files are complete resolutions, so pip need not resolve anything. Of the runtime only modules that
# the job imports are compiled to byte code. It has to be now: a user who may not write to .venv would
# compile them again in every run.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps

$(INSTALLED): constraints.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) --no-compile --require-hashes -r constraints.txt
	@$(PIP) --no-build-isolation -e .
	@$(BIN)/python -W ignore -c \
		"import reco_batch.commands.app, reco_batch.models.registry"
	@touch $@

$(DEVELOPED): constraints-dev.txt $(INSTALLED)
	@$(PIP) --require-hashes -r constraints-dev.txt
	@touch $@
