# Two commands: `make demo` runs the engine on real photos, `make test` proves it. Needs python3 (3.11 or later) and make.
# A third takes up to two hours, and goes on where it stopped: `make experiments` measures what docs/experiments.md says.
# A stamp inside .venv says which extras are installed; it is older than pyproject.toml or constraints.txt when they changed.

PYTHON ?= python3
BIN := .venv/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq --no-input -c constraints.txt
# pip compiles installed packages, but not the code of an editable install: the first command would do it.
COMPILE := $(BIN)/python -m compileall -q engine model specialists filters refinement pipelines
PYTEST := $(BIN)/python -m pytest
CODE := engine model specialists filters refinement pipelines benchmarks tests

# Six parts of the tests. The seventh is all others, so a new test is in one of the parts.
# What starts a Ray cluster is in one part, what imports torch and transformers in few: each part does that again.
ON_RAY := tests/pipelines/emit/test_same_bytes.py
RUNS := tests/engine/running tests/pipelines/training tests/model $(ON_RAY)
MODELS := tests/specialists tests/pipelines/annotate tests/pipelines/test_open_models.py tests/benchmarks
BROWSER := tests/browser
SETS := tests/pipelines/refine tests/pipelines/removal tests/refinement tests/filters
EMIT := tests/pipelines/emit
STAGES := tests/engine/reading tests/engine/images tests/pipelines/stages $(wildcard tests/test_*.py)
PARTS := test-emit test-runs test-others test-sets test-browser test-stages test-models

.PHONY: demo test $(PARTS) slow experiments check format clean
.DELETE_ON_ERROR:

RECIPE := pipelines/recipes/quickstart.yaml

demo: .venv/demo.stamp
	$(BIN)/engine run -c $(RECIPE)
	$(BIN)/engine status -c $(RECIPE)
	$(BIN)/engine why chelsea -c $(RECIPE) | head -12
	$(BIN)/engine show -c $(RECIPE) -o data/quickstart.png
	$(BIN)/engine verify data/quickstart/releases/v1
	$(BIN)/engine report -c $(RECIPE)

# Five of these run beside each other, also on two cores: tests often wait for a disk or a worker that
# hangs. Each prints when it has ended, and all run if one fails. The checks come last, because they are the shortest.
test: .venv/test.stamp
	@$(MAKE) --no-print-directory -k -j5 $(PARTS) check

test-runs: PART = $(RUNS)
test-models: PART = $(MODELS)
test-browser: PART = $(BROWSER)
test-sets: PART = $(SETS)
test-emit: PART = $(EMIT) --ignore=$(ON_RAY)
test-stages: PART = $(STAGES)
test-others: PART = tests $(addprefix --ignore=, $(RUNS) $(MODELS) $(BROWSER) $(SETS) $(EMIT) $(STAGES))
# The parts use all cores. More threads in each would only wait for each other.
$(PARTS): export OMP_NUM_THREADS := 1
$(PARTS): .venv/test.stamp
	@echo "$(PYTEST) $(PART)"
	@printed=$$(mktemp); trap 'rm -f "$$printed"' EXIT; \
	$(PYTEST) $(PART) > "$$printed" 2>&1; code=$$?; \
	echo; echo "$@"; cat "$$printed"; exit $$code

experiments: .venv/test.stamp
	$(BIN)/python -m benchmarks.experiments

# What takes too long for `make test`: more that is killed on Ray, words read from street photos.
slow: .venv/test.stamp
	$(PYTEST) benchmarks/slow

check: .venv/test.stamp
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: .venv/test.stamp
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "'$(PYTHON)' is no Python 3.11 or later, which is needed: name one, such as make PYTHON=python3.12 demo."; exit 1; }
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing what the demo needs into .venv (a minute or two)"
	@$(PIP) -e ".[demo]"
	@$(COMPILE)
	@touch $@

.venv/test.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing what the tests need into .venv (three or four minutes)"
	@$(PIP) -e ".[demo,dev,florence,measure,models,readers,s3,similarity]"
	@$(COMPILE)
	@touch $@ .venv/demo.stamp
