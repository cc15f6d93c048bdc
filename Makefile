# Every target sets up what it needs: a virtual environment in .venv with this package and its tools.
# Another Python has another one: `make test PYTHON=python3.13` makes .venv-python3.13.
# EXTRA=test leaves out PyTorch, JAX and the linters, some GB: tests that need them are skipped.
PYTHON ?= python3
EXTRA ?= dev
VENV := $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export TF_CPP_MIN_LOG_LEVEL ?= 3

OLDEST := .venv-oldest
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-full test-oldest coverage lint docs links wheel bench bench-full clean

demo: $(VENV)/.package
	$(BIN)/robusttune demo

PYTEST := -m pytest -n 2 --dist worksteal

test: $(STAMP)
	$(BIN)/python $(PYTEST) -m "not full"

# What is real and slow: engines, backends, kills, the blocks of the documents.
test-full: $(STAMP)
	$(BIN)/python $(PYTEST) -m full --timeout 1200

# The tests of `make test` with the lowest versions that pyproject.toml allows.
test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python $(PYTEST) -m "not full"

# What `make test` runs of the package, in its child processes too, but for those that are killed.
coverage: $(STAMP)
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run $(PYTEST) -m "not full"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy typing_tests
	$(BIN)/basedpyright --level error --pythonpath $(BIN)/python typing_tests
	$(BIN)/lint-imports --no-logo

# The pages of docs/, with the API from the docstrings; a warning is an error.
docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo build/docs/index.html

# External links: which ones their hosts do not have. The tests check those inside the repository.
links: $(STAMP)
	$(BIN)/python docs/links.py

# The wheel, installed into an empty environment, runs the demo and reports on it from elsewhere.
wheel: $(STAMP)
	rm -rf dist .venv-wheel
	$(BIN)/python -m hatchling build -t wheel
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python $(PIP_INSTALL) --constraint constraints.txt dist/*.whl
	elsewhere=$$(mktemp -d) && cd "$$elsewhere" && $(CURDIR)/.venv-wheel/bin/robusttune demo --trials 4 demo \
	  && $(CURDIR)/.venv-wheel/bin/robusttune report demo/search --html page.html && test -s page.html

# Searches beside Keras Tuner and Optuna, and what the guard costs: some minutes.
bench: $(STAMP)
	$(BIN)/python -m benchmarks.bench
	$(BIN)/python -m benchmarks.overhead --rounds 5 --only "tiny MLP"

# Every benchmark in full: some hours.
bench-full: $(STAMP)
	$(BIN)/python -m benchmarks.bench --full
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m evaluation.diagnosis
	$(BIN)/python -m benchmarks.parallel
	$(BIN)/python -m evaluation.healthy
	$(BIN)/python -m benchmarks.regions
	$(BIN)/python -m benchmarks.sanitize search
	$(BIN)/python -m benchmarks.trap
	$(BIN)/python -m benchmarks.learning_rate_caps
	$(BIN)/python -m evaluation.with_and_without

clean:
	rm -rf .venv .venv-* build dist

# The package alone, which is all that the demo needs, and then the tools.
$(VENV)/.package: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable .
	touch $@

$(STAMP): $(VENV)/.package
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[$(EXTRA)]'
	touch $@

$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python $(PIP_INSTALL) --constraint constraints-oldest.txt --editable '.[test]'
	touch $@
