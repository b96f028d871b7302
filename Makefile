# make demo   what the components do, in many languages, with the bundled models
#             (TEXT="..." for your own text, QUESTION="..." to ask about it)
# make test   install and run the tests
# make lint   ruff and mypy
# make bench  speed, memory, saving and loading (long; benchmarks/ner.py has the entities)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TEXT QUESTION

.PHONY: demo test lint bench clean

demo: $(VENV)/installed
	@$(BIN)/python -m spacy bloom demo $(if $(filter command line,$(origin QUESTION)),--question "$$QUESTION") \
		$(if $(filter command line,$(origin TEXT)),-- "$$TEXT")

# One process a core, one thread of torch in each: two of them would wait for each other. JAX's tests have processes of their
# own: its threads can leave locks behind in a process that other tests fork.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
test: $(VENV)/installed-dev
	$(PYTEST) --ignore tests/bloom_jax
	$(PYTEST) tests/bloom_jax

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/memory_stream.py
	$(BIN)/python benchmarks/lm_step.py
	$(BIN)/python benchmarks/save_load.py --geometry 560m
	$(BIN)/python benchmarks/save_load.py --geometry 1b7 --ours-only

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo.html
