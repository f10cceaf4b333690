# Two commands do everything on a machine with Python >= 3.11 and make:
#   make demo   set up, train on the built-in world, print recommendations, write a report
#   make test   formatting, lint, types, layers and all tests
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test check format attacks bench clean

demo: $(STAMP)
	@$(BIN)/crossfade demo

test: $(STAMP)
	$(MAKE) --no-print-directory lint
	$(BIN)/pytest -n 2 --dist worksteal

check: $(STAMP)  ## the fast tier: what to run before every commit
	$(MAKE) --no-print-directory lint
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

.PHONY: lint
lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ATTACKS := contract sockets attacks clock outages doors memory operations
attacks: $(STAMP)  ## all attacks, and many more made-up requests than the tests try, others each time (minutes)
	CROSSFADE_EXAMPLES=300 $(BIN)/pytest -rA $(ATTACKS:%=tests/service/test_%.py) \
		tests/store/log/test_kills.py tests/store/log/test_faults.py tests/store/log/test_model.py

bench: $(STAMP)  ## every benchmark table under benchmarks/ (most of a day)
	$(BIN)/python -m benchmarks

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing crossfade into .venv (about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

clean:
	rm -rf .venv out .mypy_cache .ruff_cache .pytest_cache .hypothesis
