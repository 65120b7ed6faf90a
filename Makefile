# make demo       train digits and look at them (about 4 minutes, installation included)
# make test       run the tests, on all cores
# make test-slow  run the thorough tests, which take long
# make check      format, lint, types, docs, tests
# make page       check the types of the page's scripts
# make notebooks  run the notebooks of the documentation anew, with MNIST
# make docs       build the pages in docs/_build
PYTHON ?= python3
# More words for pip, such as --extra-index-url with the index of PyTorch's small CPU build.
PIP_ARGS ?=
BIN := .venv/bin
TSC := build/node/node_modules/.bin/tsc

.PHONY: demo test test-slow check page docs notebooks format bench clean

demo: .venv/installed
	$(BIN)/ganvas train strokes-quick --out runs/demo
	$(BIN)/ganvas sample runs/demo --n 100 --out runs/demo/samples.png

test: .venv/installed
	$(BIN)/pytest -n auto --maxprocesses 8 --dist worksteal

test-slow: .venv/installed
	$(BIN)/pytest -n auto --maxprocesses 8 --dist worksteal -m slow

check: .venv/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(MAKE) page
	$(MAKE) docs
	$(MAKE) test

# Skipped where there is no Node, or no network from which TypeScript can be installed.
page:
	@command -v npm >/dev/null || { echo 'page: not checked, as there is no npm'; exit 0; }; \
	test -x $(TSC) || npm install --prefix build/node --no-save --silent typescript@5.9.3 || \
		{ echo 'page: not checked, as TypeScript cannot be installed'; exit 0; }; \
	$(TSC) -p jsconfig.json

docs: .venv/installed
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build

notebooks: .venv/installed
	cd docs/notebooks && ../../$(BIN)/jupyter execute --inplace *.ipynb && rm -rf runs figures *.png

format: .venv/installed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: .venv/installed
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/cppn.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/explore.py

clean:
	rm -rf .venv build docs/_build docs/jupyter_execute

# Made anew when the project's requirements change, or when an installation was interrupted.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ganvas needs Python 3.11 or newer: run 'make PYTHON=python3.12 $(MAKECMDGOALS)', say"; exit 2; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	@touch $@
