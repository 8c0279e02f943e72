# The two commands: `make run` makes the environment, runs the quick suite and prints where its report is;
# `make test` makes the environment and runs all tests. Another index for torch: make setup TORCH_INDEX=<address>.
PYTHON ?= python3.11
# Left to itself nproc counts no further than OMP_NUM_THREADS.
CORES ?= $(shell env -u OMP_NUM_THREADS nproc)
VENV ?= .venv
TORCH = torch==2.13.0
STAMP = $(VENV)/.installed
BIN = $(VENV)/bin

export OMP_NUM_THREADS = 1
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: setup run smoke reference test test-fast test-thorough test-faults test-slurm lint format types clean

setup: $(STAMP)

# torch comes first: pip then takes the build it finds for this machine and the other packages accept it.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

run: setup
	$(BIN)/snakemake --cores $(CORES) --configfile workflow/config/quick.yaml
	@echo "The report: $(CURDIR)/results/suites/quick/report.html"

smoke: setup
	$(BIN)/snakemake --cores $(CORES) --configfile workflow/config/smoke.yaml
	@echo "The report: $(CURDIR)/results/suites/smoke/report.html"

# Keeps tables and figures in git: make reference SUITE=quick, or SUITE=theory and SUITE=paper, which are no suites.
reference:
	rm -rf results/reference/$(SUITE)
	mkdir -p results/reference/$(SUITE)
	cd $(firstword $(wildcard results/suites/$(SUITE) results/$(SUITE))) && \
		cp -r $$(ls -d *.csv *.md *.tex statistics figures 2> /dev/null) $(CURDIR)/results/reference/$(SUITE)/

# Files side by side, so that what a file makes once is made once.
test: setup
	$(BIN)/pytest -n $(CORES) --dist loadfile

test-fast: setup
	$(BIN)/pytest -n $(CORES) --dist loadfile -m "not slow and not faults and not thorough and not slurm"

test-thorough: setup
	$(BIN)/pytest -n $(CORES) --dist loadfile -m "thorough and not slurm"

# Every fault many times over; `make test` has each of them in a short form. `make reference SUITE=faults` keeps its tables.
FAULTS = checkpoints interrupted_suite supervision faulty_disk changed_data unlucky_suite jumping_clock two_callers
test-faults: setup
	CQLBENCH_FAULTS=results/faults $(BIN)/pytest -m "" $(addprefix tests/test_,$(addsuffix .py,$(FAULTS)))

# Suites through a Slurm that is started for it, by root and from Debian's packages: minutes, and with SHORT=1 two.
test-slurm: setup
	$(BIN)/pytest -rs -m "slurm$(if $(SHORT), and not thorough)"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

types: setup
	$(BIN)/mypy cqlbench

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
