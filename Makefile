# make demo [QUICK=1] [SEED=n]   the whole loop on simulated users
# make test                      everything that must hold before a change lands
# make chaos [KILLS=n] [SEED=n]  kill -9 at random moments, and nothing may be missing
# make bench                     the long measurements behind docs/benchmarks
# make format | protos | lock    for those who change ranklift

PYTHON ?= $(shell command -v python3.11 || command -v python3)
SEED ?= 0
KILLS ?= 1000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test bench chaos check format protos lock clean

demo: $(VENV)/.installed
	$(BIN)/ranklift demo --seed $(SEED) $(if $(QUICK),--quick)

test: $(VENV)/.installed-dev check
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/protos.py --check

bench: $(VENV)/.installed-dev
	$(BIN)/python -m tests.benchmarks.run

chaos: $(VENV)/.installed-dev
	$(BIN)/python -m tests.benchmarks.chaos --kills $(KILLS) --seed $(SEED)

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(VENV)/.installed-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/protos.py

# torch first and alone: any other package that needs it then takes this one.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "ranklift needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "Installing into $(VENV) (once, a few minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) torch==2.13.0
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP) --editable '.[dev,models]'
	@touch $@

# The versions that were tested together, without where they came from; certificates may be newer.
lock: $(VENV)/.installed-dev
	$(BIN)/python -m pip list --format=freeze --exclude-editable \
		| sed -e 's/+cpu$$//' -e '/^pip==/d' -e '/^certifi==/d' -e '/^nvidia-/d' -e '/^triton==/d' > constraints.txt

clean:
	rm -rf $(VENV) .ranklift
