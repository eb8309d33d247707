PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-results
SOURCES := CMakeLists.txt pyproject.toml $(shell find csrc -type f)
CPP := $(shell find csrc tests/native -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')

export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test native lint format bench clean

demo: $(VENV)/built  ## real digits, with and without NeuRN: a page, tables and pictures in $(OUT)
	neurn demo --out $(OUT)

test: $(VENV)/built  ## every test of the package
	python -m pytest --cov --cov-report=term --cov-fail-under=90

native: $(VENV)/locked  ## the kernels' own test, under the address and undefined-behaviour sanitizers
	cmake -S . -B build/native -G Ninja -DNEURN_BUILD_TESTS=ON -DNEURN_SANITIZE=ON -DNEURN_WERROR=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
	cmake --build build/native
	ctest --test-dir build/native --output-on-failure

lint: $(VENV)/built
	ruff check .
	ruff format --check .
	mypy
	clang-format --dry-run --Werror $(CPP)

format: $(VENV)/built
	ruff check --fix .
	ruff format .
	clang-format -i $(CPP)

bench: $(VENV)/built  ## figures of bench/README.md, measured anew
	python -m pytest bench -q

$(VENV)/locked: requirements.lock
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet -r requirements.lock
	touch $@

# The build sees the environment's own torch and tools; -e: Python files are used where they stand.
$(VENV)/built: $(VENV)/locked $(SOURCES)
	python -m pip install --quiet --no-build-isolation --no-deps -C cmake.define.NEURN_WERROR=ON -e .
	touch $@

clean:
	rm -rf $(VENV) build
