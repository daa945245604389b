# Everything a fresh machine needs: a python3 (3.11 or newer) with pip. `make env` works without ensurepip.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.current
WORKDIR ?= runs/demo

.PHONY: env demo check lint types docs test test-slow clean

env: $(STAMP)

# The stamp is written last, so an interrupted install is done again; a .venv that cannot run is made anew.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is too old: Python 3.11 or newer is needed; try make PYTHON=python3.12" >&2; exit 2; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear --without-pip .venv
	@$(PYTHON) -m pip --python $(BIN)/python install -qq --disable-pip-version-check --no-warn-script-location --editable '.[dev]'
	@touch $(STAMP)

# The sine comparison and a comparison on built-in glyphs at a reduced budget: tables, curves, pictures.
demo: env
	@$(BIN)/python -m experiments.reproduce sine --shots=10 --seeds=0 --fraction=0.1 --workers=2 --workdir=$(WORKDIR)/sine
	@$(BIN)/python -m experiments.reproduce glyphs --seeds=0 --fraction=0.1 --workers=2 --workdir=$(WORKDIR)/glyphs

# All checks: what continuous integration runs (the tests), and style, types and documentation.
check: lint types docs test

lint: env
	@$(BIN)/python -m ruff check -q .

types: env
	@$(BIN)/python -m mypy --no-error-summary

# The documentation site, into site/; a warning fails it.
docs: env
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

test: env
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup

test-slow: env
	@$(BIN)/python -m pytest -q -m slow

clean:
	rm -rf .venv build dist site *.egg-info runs/demo
