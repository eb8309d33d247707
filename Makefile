PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-results
TORCHES ?= 2.11.0 2.13.0
TESTS ?=
CUDA_ARCHITECTURES ?= 90-real
SOURCES := CMakeLists.txt pyproject.toml $(shell find csrc -type f)
CPP := $(shell find csrc tests/native -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
ARM64 := aarch64-linux-gnu-g++ -std=c++20 -O1 -Wall -Wextra -Werror -Wno-psabi -ffp-contract=fast -fno-math-errno \
  -fno-trapping-math -DNEURN_ISA=baseline -DNEURN_VECTOR_BYTES=16 -Icsrc -pthread -o /dev/null

export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

ALLEN := $(VENV)-allen

.PHONY: demo test allen native sanitize-cuda arm64 lint format bench bench-arch bench-cuda bench-mouse wheel wheel-test docs clean

demo: $(VENV)/built  ## the embedded study: a page, tables and pictures in $(OUT)
	neurn demo --out $(OUT)

# One thread: tests are small, and those about threads ask for more.
test: $(VENV)/built  ## every test of the package
	OMP_NUM_THREADS=1 python -m pytest -n auto --dist loadgroup --durations=10 --cov --cov-report=term --cov-fail-under=90
	python -c "import sys; sys.exit(sys.version_info >= (3, 12))" || exit 0; $(MAKE) allen

# allensdk needs versions that nothing else here does: an environment of its own that looks into
# the other one for what it lacks. Python 3.12 cannot install it.
allen: $(ALLEN)/built  ## recordings read by the real allensdk, beside our own reader
	PYTHONPATH=python OMP_NUM_THREADS=1 $(ALLEN)/bin/python -m pytest -q tests/mouse/test_observatory.py

$(ALLEN)/built: $(VENV)/built
	python -m venv $(ALLEN)
	$(ALLEN)/bin/python -m pip install --quiet "allensdk==2.16.2" "setuptools>=77.0.3,<81" "statsmodels<0.15"
	python -c "import sysconfig; print('import site; site.addsitedir(' + repr(sysconfig.get_path('purelib')) + ')')" \
	  > $$($(ALLEN)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/beside.pth
	touch $@

native: $(VENV)/locked  ## the kernels' own tests, CUDA's too, under the address and undefined-behaviour sanitizers
	cmake -S . -B build/native -G Ninja -DNEURN_BUILD_TESTS=ON -DNEURN_SANITIZE=ON -DNEURN_WERROR=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
	cmake --build build/native
	ctest --test-dir build/native --output-on-failure -j "$$(nproc)"

# Every allocation on its own, so that what leaves it is seen.
sanitize-cuda: $(VENV)/built  ## CUDA kernels on odd sizes under compute-sanitizer; needs a GPU
	for tool in memcheck racecheck initcheck synccheck; do \
	  PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool $$tool --error-exitcode 1 \
	    python tests/native/sanitize_cuda.py || exit 1; \
	done

arm64:  ## the kernels and their test, cross-compiled
	$(ARM64) csrc/neurn/cpu/kernels.cpp csrc/neurn/dispatch.cpp csrc/neurn/check.cpp csrc/isa.cpp tests/native/test_kernels.cpp
	$(ARM64) $(wildcard csrc/align/cpu/*.cpp) $(filter-out csrc/align/op.cpp,$(wildcard csrc/align/*.cpp)) csrc/isa.cpp tests/native/test_align.cpp

lint: $(VENV)/built
	ruff check .
	ruff format --check .
	mypy
	clang-format --dry-run --Werror $(CPP)

format: $(VENV)/built
	ruff check --fix .
	ruff format .
	clang-format -i $(CPP)

bench: $(VENV)/built $(VENV)/peers  ## this processor's page of bench/figures, measured anew
	python -m pytest bench -q --write-table

bench-arch: $(VENV)/built $(VENV)/peers  ## those of reading and comparing architectures
	python -m bench.arch --write-table

bench-cuda: $(VENV)/built  ## those of a GPU
	python -m bench.cuda --write-table

bench-mouse: $(VENV)/built  ## those of recordings of real size
	python -m bench.mouse --write-table

$(VENV)/locked: requirements.lock
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet -r requirements.lock
	touch $@

$(VENV)/peers: bench/requirements.lock $(VENV)/locked
	python -m pip install --quiet -r bench/requirements.lock
	touch $@

# The build sees the environment's own torch and tools; -e: Python files are used where they stand.
# Where nvcc is, CUDA kernels for one kind of GPU: all kinds, as in a release, take minutes.
$(VENV)/built: $(VENV)/locked $(SOURCES)
	python -m pip install --quiet --no-build-isolation --no-deps -C cmake.define.NEURN_WERROR=ON \
	  -C cmake.define.NEURN_CUDA_ARCHITECTURES=$(CUDA_ARCHITECTURES) -e .
	touch $@

# Of torch, which is there already wherever the wheel is installed.
NOT_OURS := $(foreach library,libc10.so libc10_cuda.so libtorch.so libtorch_cpu.so libtorch_cuda.so,--exclude $(library))

wheel: $(VENV)/built  ## a wheel for this Python and processor, without CUDA kernels, in wheelhouse/
	rm -rf build/wheel
	python -m build --wheel --no-isolation -C cmake.define.NEURN_CUDA=OFF --outdir build/wheel .
	auditwheel repair $(NOT_OURS) --wheel-dir wheelhouse build/wheel/*.whl

# Every torch of TORCHES in an environment of its own; from PyPI a torch brings CUDA, gigabytes.
wheel-test: wheel  ## tests against the wheel: make wheel-test TORCHES="2.11.0 2.13.0" TESTS=tests/align
	for torch in $(TORCHES); do \
	  python scripts/test_wheel.py wheelhouse/neurn-*-$$(python -c "import sys; print('cp%d%d' % sys.version_info[:2])")-*.whl $$torch $(TESTS) || exit 1; \
	done

docs: $(VENV)/built  ## the documentation as a site, in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet --site-dir build/site

clean:
	rm -rf $(VENV) $(ALLEN) build
