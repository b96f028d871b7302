# make demo   what the components do, in many languages, with the bundled models
#             (TEXT="..." for your own text, QUESTION="..." to ask about it)
# make test   install and run the tests
# make test-matrix   the tests with the oldest requirements on Python 3.10 and the newest on 3.13 (several GB of wheels)
# make lint   ruff and mypy
# make dist   wheel and sdist; the same wheel, byte by byte, from the same commit
# make lock   the requirements of development and of releases with their hashes, by uv
# make docs   the documentation as a site, in site/
# make soak   hostile files and texts, faults, load: an hour for each (MINUTES=5 for less, ONLY=files for one)
# make bench  speed, memory, saving and loading (long; benchmarks/ner.py has the entities)

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
export TEXT QUESTION

OLDEST_PYTHON ?= python3.10
NEWEST_PYTHON ?= python3.13

.PHONY: demo test test-matrix lint dist lock docs soak bench clean

demo: $(VENV)/installed
	@$(BIN)/python -m spacy bloom demo $(if $(filter command line,$(origin QUESTION)),--question "$$QUESTION") \
		$(if $(filter command line,$(origin TEXT)),-- "$$TEXT")

# One process a core, one thread of torch in each: two of them would wait for each other. JAX's tests have processes of their
# own: its threads can leave locks behind in a process that other tests fork.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
test: $(VENV)/installed-dev
	$(PYTEST) --ignore tests/bloom_jax
	$(PYTEST) tests/bloom_jax || test $$? = 5

test-matrix:
	$(MAKE) test VENV=.venvs/oldest PYTHON=$(OLDEST_PYTHON) CONSTRAINTS=constraints-oldest.txt
	$(MAKE) test VENV=.venvs/newest PYTHON=$(NEWEST_PYTHON) CONSTRAINTS=/dev/null

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

# What is in the wheel has the time of the commit and everybody's permissions, so that two builds are equal.
dist: $(VENV)/installed-dev
	chmod -R u=rwX,go=rX spacy_bloom LICENSE
	umask 022; SOURCE_DATE_EPOCH=$$(git log -1 --pretty=%ct) $(BIN)/python -m build

# The versions of constraints.txt, for Linux on x86-64, where torch brings its CUDA libraries; tools of releases for all systems.
LOCK := uv pip compile --quiet --generate-hashes --no-annotate --python-version 3.11.7 --custom-compile-command "make lock"
lock:
	$(LOCK) --extra dev --constraint constraints.txt --python-platform x86_64-manylinux_2_28 setup.cfg -o requirements-dev.txt
	$(LOCK) --universal requirements-release.in -o requirements-release.txt

docs: $(VENV)/installed-dev
	$(BIN)/python -m mkdocs build --strict

MINUTES ?= 60
soak: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.soak --minutes $(MINUTES) $(addprefix --only ,$(ONLY))

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/memory_stream.py
	$(BIN)/python benchmarks/lm_step.py
	$(BIN)/python benchmarks/save_load.py --geometry 560m
	$(BIN)/python benchmarks/save_load.py --geometry 1b7 --ours-only

$(VENV)/installed: setup.cfg pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) .venvs build dist site *.egg-info demo.html
