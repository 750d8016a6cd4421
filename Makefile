# Every target does its own set-up on a fresh Debian machine with Python 3.11.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: venv demo test check chaos bench lock reference

venv: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	sh scripts/need.sh $(PYTHON) venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

# The main job: sample data, every copy first, every promise compared.
demo: $(STAMP)
	$(BIN)/letterbook demo --once $(DEMO)

# Small seeded forms of every promise, against real servers.
test: $(STAMP)
	sh scripts/need.sh $(PYTHON) postfix
	$(BIN)/pytest --numprocesses 3 --dist loadgroup $(TESTS)

# Style, types, import contracts, docs in step with the code.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/reference.py --check

# The full-size runs; their last results are in docs/results/.
chaos: $(STAMP)
	sh scripts/need.sh $(PYTHON) postfix
	$(BIN)/python -m bench.chaos

bench: $(STAMP)
	sh scripts/need.sh $(PYTHON) postfix
	$(BIN)/python -m bench

# For those who change dependencies or declarations.
lock:
	uv pip compile --quiet --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-package letterbook --no-header --no-annotate \
		--output-file requirements.lock pyproject.toml

reference: $(STAMP)
	$(BIN)/python scripts/reference.py
