# Everyday commands. The tools come from .venv; `make BIN= unit` takes those on your path.
BIN = .venv/bin/

.PHONY: check setup test unit slow lint types site docs reliability bench

check: lint types site test

setup:
	python3 -m venv .venv && .venv/bin/pip install -e '.[test,docs]'

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

site:
	$(BIN)sphinx-build -q -W --keep-going -c docs . build/site && $(BIN)sphinx-build -q -b linkcheck -c docs . build/links

docs:
	$(BIN)python docs/make_api.py && $(BIN)python docs/make_paper_recipes.py && $(BIN)python docs/make_zoo.py

reliability:
	$(BIN)python tests/faults/make_reliability.py

bench:
	$(BIN)genzoo bench ali
