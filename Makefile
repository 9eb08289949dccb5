# Needs Python 3.11 to 3.13 and make. Everything else is installed into .tools and .venv, from requirements.lock.
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin

export UV_COMPILE_BYTECODE := 1
export UV_PYTHON_DOWNLOADS := never
# A school's network may have certificates of its own.
export UV_SYSTEM_CERTS := 1
unexport PYTHONDONTWRITEBYTECODE
# Python must be able to read the checkout's path, which may have characters beyond ASCII.
export LC_ALL := C.UTF-8


.PHONY: demo test dev check bench dist image deploy-check release-check format lock clean

demo: .venv/installed  ## the whole pipeline on synthetic districts
	$(BIN)/samegoal-pipelines demo

dev: .venv/installed  ## the Dagster UI with schedule and daemon
	$(BIN)/samegoal-pipelines dev

test: .venv/installed  ## all tests
	$(BIN)/pytest -n 2

check: .venv/installed  ## what a developer runs before a commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/dg check defs
	$(BIN)/bandit -q -c pyproject.toml -r samegoal_pipelines
	git ls-files -z ':!samegoal_pipelines_tests' ':!benchmarks' | xargs -0 $(BIN)/detect-secrets-hook
	git ls-files -z samegoal_pipelines_tests benchmarks | xargs -0 $(BIN)/detect-secrets-hook \
	    --disable-plugin KeywordDetector --disable-plugin BasicAuthDetector  # tests are full of made-up secrets
	$(BIN)/pytest -q $(addprefix samegoal_pipelines_tests/,tables transforms landing test_packages.py)

bench: benchmarks/.venv/installed  ## the benchmarks, as ratios against peers measured in the same run
	benchmarks/.venv/bin/python -m benchmarks

dist: .venv/installed  ## wheel and sdist, in dist/
	$(UV) build --quiet --python .venv --no-build-isolation --out-dir dist

image:  ## build the image and try it; IMAGE names it, BASE is the image to start from
	deploy/docker/try_image.sh

deploy-check: .venv/installed  ## linters and schemas for what is in deploy/
	deploy/check.sh

release-check: dist  ## whether the current commit may be tagged
	$(BIN)/python deploy/release_check.py

format: .venv/installed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(UV)  ## newest compatible versions; names no index, so any mirror serves it
	$(UV) pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	    pyproject.toml --group dev -o requirements.lock
	$(UV) pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 --all-extras \
	    pyproject.toml --group build -c requirements.lock -o deploy/docker/requirements.lock
	$(UV) pip compile -q --upgrade --universal --generate-hashes --python-version 3.11 \
	    benchmarks/requirements.in -c requirements.lock -o benchmarks/requirements.lock

clean:
	rm -rf .venv .tools benchmarks/.venv

$(UV):
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/installed: $(UV) requirements.lock pyproject.toml
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip install --quiet --python .venv --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	touch $@

benchmarks/.venv/installed: .venv/installed benchmarks/requirements.lock
	$(UV) venv --quiet --allow-existing --python $(PYTHON) benchmarks/.venv
	$(UV) pip install --quiet --python benchmarks/.venv --require-hashes -r requirements.lock -r benchmarks/requirements.lock
	$(UV) pip install --quiet --python benchmarks/.venv --no-deps --no-build-isolation --editable .
	touch $@
