# make demo | test | lint | check: each makes the virtual environment first, if it is not there or out of date.
# make sanitize needs none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BUILT_FROM := pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/seqloom/csrc/* src/seqloom/csrc/*/*)

.PHONY: help setup demo test lint check sanitize clean

help:
	@echo "make setup      the virtual environment .venv, with seqloom (its kernels built) and the tools"
	@echo "make demo       a minute's training on text that every machine has, with its report"
	@echo "make test       the tests"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make check      lint and test"
	@echo "make sanitize   the tests of the kernels under AddressSanitizer and UBSan; 10 to 20 minutes"
	@echo "make clean      removes what these made"

setup: $(STAMP)

$(STAMP): $(BUILT_FROM)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "seqloom needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	    echo "Name another one: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12" >&2; exit 1; }
	@for compiler in $${CXX:-c++ g++ clang++}; do command -v $$compiler >/dev/null && exit; done; \
	    echo "seqloom needs a C++20 compiler to build its kernels: $${CXX:-c++, g++ or clang++} was not found." >&2; \
	    echo "Install one (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)," >&2; \
	    echo "or name it: make $(or $(MAKECMDGOALS),setup) CXX=/path/to/compiler" >&2; exit 1
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	    $(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]'
	@touch $@

demo: setup
	$(BIN)/seqloom demo

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# Apart from check: the build takes longer than all of it.
sanitize:
	@command -v cmake >/dev/null || { echo "make sanitize needs CMake, which was not found." >&2; \
	    echo "Install it (Debian, Ubuntu: apt install cmake; or, anywhere: pip install cmake)" >&2; exit 1; }
	cmake -S tests/native -B build/sanitize -D SANITIZE=address,undefined
	cmake --build build/sanitize --parallel $$($(PYTHON) -c 'import os; print(os.cpu_count())')
	ctest --test-dir build/sanitize --verbose

clean:
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
