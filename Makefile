# Everything works from a bare clone: the first target that needs it builds .venv, with Python's own
# venv and pip, from pinned and hashed packages. Nothing is done twice.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DATA ?= demo

.PHONY: help run test promises soak check format bench lock clean

help: ## Show the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Train on the sample that a package carries, publish, and say what to try next.
	@$(BIN)/batch run --data $(DATA)

test: $(INSTALLED) ## Run the tests but the promises; servers that they need are started and stopped by them.
	@$(BIN)/pytest -q --ignore tests/promises --numprocesses 2 --dist loadfile

promises: $(INSTALLED) ## Break servers, wires, files and nights, to see that docs/promises.md is kept; minutes.
	@$(BIN)/pytest -q tests/promises

soak: $(INSTALLED) ## The same at length: a thousand kills, every prefix, every lost reply.
	@$(BIN)/pytest tests/promises --soak -v --durations 0 --durations-min 60

check: $(INSTALLED) ## Lint, format, types, import rules.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(INSTALLED) ## Let ruff mend what it can.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(INSTALLED) ## Measure what docs/performance.md and docs/models.md say; takes minutes.
	@$(BIN)/python benchmarks/whole_job.py --data $(DATA)
	@$(BIN)/python benchmarks/training.py --data $(DATA)
	@$(BIN)/python benchmarks/topk.py
	@$(BIN)/python benchmarks/ranked.py
	@$(BIN)/python benchmarks/publish.py
	@$(BIN)/python benchmarks/growth.py
	@$(BIN)/python benchmarks/reader.py
	@$(BIN)/python benchmarks/reasons.py
	@$(BIN)/python benchmarks/startup.py
	@$(BIN)/python benchmarks/serving.py
	@$(BIN)/python benchmarks/filters.py
	@rm -rf .bench && for scale in 0.05 0.1; do \
		$(BIN)/batch simulate --quiet --like ml-32m --scale $$scale .bench/$$scale; done
	@$(BIN)/python benchmarks/ingest.py .bench/0.05 .bench/0.1 && rm -rf .bench
	@$(BIN)/python benchmarks/engines.py
	@$(BIN)/python benchmarks/quality.py --data $(DATA)
	@$(BIN)/python benchmarks/new_users.py --data $(DATA)
	@$(BIN)/python benchmarks/similar.py --data $(DATA)
	@$(BIN)/python benchmarks/for_ratings.py --data $(DATA)
	@$(BIN)/python benchmarks/report.py

lock: ## Pin all packages anew, newest versions, with hashes.
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--all-extras --group dev pyproject.toml --output-file constraints.txt

clean: ## Remove .venv and caches; artifacts and the store stay.
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(INSTALLED): constraints.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
