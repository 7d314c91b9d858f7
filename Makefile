# Two commands matter: `make run` starts an exchange, `make test` proves it.
# Whatever has been done once leaves a stamp in .venv and is not done again; `make clean` forgets.

.PHONY: run demo test quick bench soak prove lint contracts lock clean node test-env
.DEFAULT_GOAL := run

VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/done
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
CONTRACTS := settlement/contracts
NPM_LOCK := $(wildcard $(CONTRACTS)/package-lock.json)
NPM := $(shell command -v npm 2>/dev/null)
# What has to be there is made two at a time: npm's part beside pip's, mypy while kernels compile.
TOGETHER = $(MAKE) --no-print-directory --jobs=2
# Tests share nothing, so every core takes what another has not begun.
PYTEST := $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal
QUICK_TESTS := tests/spec tests/admission tests/journal tests/property tests/tidy
KERNELS := $(wildcard engine/*.py engine/core/*.py)

# Where the environment forbids files of bytecode, each process that a test starts would compile all
# our modules again: half a second of three and a half.
export PYTHONDONTWRITEBYTECODE =

# Options: make bench ONLY=gas, make demo ARGS="--tape FILE", make test ARGS="-k journal",
# make lock UPGRADE=--upgrade, make run PYTHON=/path/to/python3.12
ONLY ?=
ARGS ?=
UPGRADE ?=
PYTHON ?=

run:
	@$(TOGETHER) $(DONE)/kernels node
	@exec $(BIN)/tillbook run $(ARGS)

demo:
	@$(TOGETHER) $(DONE)/kernels node
	@exec $(BIN)/tillbook demo $(ARGS)

# Lint first, because it is quick; pytest's last lines name what this machine had to leave out.
test:
	@$(TOGETHER) lint test-env
	@$(PYTEST) --durations=15 $(ARGS)

# What needs no chain, no browser and no other process: the answer to "did I break something?"
quick:
	@$(TOGETHER) lint test-env
	@$(PYTEST) --durations=5 $(QUICK_TESTS) $(ARGS)

lint: $(DONE)/test
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: test-env
	@$(BIN)/python -m benchmarks.harness $(if $(ONLY),--only "$(ONLY)")

# Numba reads past the end of an array without a word: so the engine's own tests run once with every
# index checked and once without the compiler; then the long hunts. With ARGS it is those alone.
ENGINE_TESTS := tests/spec tests/property tests/bugs

soak: test-env
ifeq ($(ARGS),)
	@echo "The engine with every index checked" && \
	  NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(VENV)/bounds-checked \
	  $(BIN)/python -m pytest --timeout=0 $(ENGINE_TESTS)
	@echo "The engine without the compiler" && \
	  NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest --timeout=0 $(ENGINE_TESTS)
endif
	@$(BIN)/python -m pytest -m soak --timeout=0 $(ARGS)

# Proofs for all inputs and static analysis of the contracts: minutes, in an environment of its own.
prove: $(DONE)/prove node
	@$(VENV)/prove/bin/python $(CONTRACTS)/prove.py

# The artifacts are committed, so only somebody who changes a contract needs this.
contracts: $(DONE)/run node
	@test -n "$(NPM)" || { echo "make contracts needs Node.js and npm" >&2; exit 1; }
	@$(BIN)/python $(CONTRACTS)/build_artifacts.py

test-env: $(DONE)/test $(DONE)/kernels node

$(DONE)/venv:
	@found=; \
	for candidate in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11); do \
	  if "$$candidate" -c 'import sys, ensurepip; assert (3, 11) <= sys.version_info < (3, 14)' \
	    2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Tillbook needs Python 3.11, 3.12 or 3.13 with venv, and found none." >&2; \
	  echo "Install one (Debian: apt-get install python3-venv), or name one that you have:" >&2; \
	  echo "    make run PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV)
	@mkdir -p $(DONE) && touch $@

$(DONE)/run: $(DONE)/venv requirements/run.txt pyproject.toml
	@echo "Installing what runs (pinned by hash; the first time takes a minute or two)"
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DONE)/test: $(DONE)/run requirements/test.txt
	@echo "Installing what tests"
	@$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

$(DONE)/prove: $(DONE)/venv requirements/prove.txt
	@echo "Installing what proves"
	@$(BIN)/python -m venv --clear $(VENV)/prove
	@$(VENV)/prove/bin/python -m pip --disable-pip-version-check --quiet --quiet install \
	  --require-hashes -r requirements/prove.txt
	@touch $@

# Compiled once, not at the first order. engine.core.jit knows when machine code is out of date.
$(DONE)/kernels: $(DONE)/run $(KERNELS)
	@$(BIN)/tillbook compile
	@touch $@

# Node brings anvil, forge and solc. Without it the embedded chain runs in process and the contract
# tests are left out, which pytest says at its end; with CI=true that is an error instead.
ifeq ($(NPM_LOCK),)
node:
else ifeq ($(NPM),)
node:
	@echo "No npm on this machine: no anvil (the chain runs in process), no contract tests."
	@test "$(CI)" != true || { echo "CI=true allows nothing to be left out." >&2; exit 1; }
else
node: $(DONE)/node
endif

$(DONE)/node: $(DONE)/venv $(NPM_LOCK)
	@echo "Installing anvil, forge and solc with npm"
	@cd $(CONTRACTS) && npm ci --ignore-scripts --loglevel=error --no-audit --no-fund
	@touch $@

# For developers. uv lives in a venv of its own and never enters the locked ones. Locks carry hashes
# and no registry address; existing pins stay unless UPGRADE=--upgrade or =--upgrade-package=NAME.
UV_COMPILE = ../$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)

# A lock names no address, and npm puts those of donations in.
UNFUND = const path = "package-lock.json", lock = JSON.parse(fs.readFileSync(path)); \
	for (const one of Object.values(lock.packages)) delete one.funding; \
	fs.writeFileSync(path, JSON.stringify(lock, null, 2) + "\n");

lock: $(DONE)/venv
	@test -x $(VENV)/lock/bin/uv || { $(BIN)/python -m venv $(VENV)/lock && \
	  $(VENV)/lock/bin/python -m pip --quiet install uv; }
	@cd requirements && $(UV_COMPILE) run.in -o run.txt
	@cd requirements && $(UV_COMPILE) --constraint run.txt test.in -o test.txt
	@cd requirements && $(UV_COMPILE) prove.in -o prove.txt
	@if [ -f $(CONTRACTS)/package.json ] && [ -n "$(NPM)" ]; then cd $(CONTRACTS) && \
	  npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved \
	    --no-audit --no-fund --loglevel=error && node -e '$(UNFUND)'; fi

clean:
	@rm -rf $(VENV) $(CONTRACTS)/node_modules $(CONTRACTS)/out $(CONTRACTS)/cache *.egg-info
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
	@find engine settlement merchants gateway benchmarks tests -name node_modules -prune -o \
	  -name __pycache__ -type d -prune -exec rm -rf {} +
