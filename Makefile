# Everyday commands. The tools come from .venv; `make BIN= unit` takes those on your path.
BIN = .venv/bin/

.PHONY: check setup test unit slow lint types docs reliability bench

check: lint types test

setup:
	python3 -m venv .venv && .venv/bin/pip install -e '.[test]'

test:
	$(BIN)pytest

unit:
	$(BIN)pytest tests/unit

slow:
	$(BIN)pytest -m slow --timeout 7200

lint:
	$(BIN)ruff check . && $(BIN)ruff format --check .

types:
	$(BIN)mypy

docs:
	set -e; for maker in docs/make_*.py; do $(BIN)python $$maker; done

reliability:
	$(BIN)python tests/faults/make_reliability.py

bench:
	$(BIN)genzoo bench ali
