# make demo: see it work.  make test: what CI runs.  Both set up what they need first.
.NOTPARALLEL:
.PHONY: setup setup-test demo test lint types unit e2e trainer bench bench-s3 fix clean

# Boxes need root. Files that root leaves in the checkout would be in its owner's way.
root := $(if $(filter 0,$(shell id -u)),,sudo env PYTHONDONTWRITEBYTECODE=1)
python := $(root) .venv/bin/python
pytest := $(python) -m pytest -p no:cacheprovider

setup:
	@scripts/setup

setup-test:
	@scripts/setup --test

demo: setup
	@$(root) ./skerry doctor
	@$(python) scripts/demo

test: setup-test lint types unit trainer e2e

lint:
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/typos

types:
	.venv/bin/basedpyright

unit:
	$(root) ./skerry doctor
	$(pytest) -n auto --ignore tests/e2e

e2e:
	timeout --foreground -s INT -k 60 40m $(pytest) tests/e2e

# A project of its own, with an environment of its own.
trainer:
	@$(MAKE) --no-print-directory -C workloads/train test

bench: setup-test
	$(python) -m bench

bench-s3: setup-test
	UV_SYSTEM_CERTS=1 UV_PYTHON_DOWNLOADS=never .boot/bin/uv sync --quiet --locked --group bench
	.venv/bin/python -m bench.s3

fix:
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean:
	$(MAKE) -C workloads/train clean
	rm -rf .venv .boot .ruff_cache .hypothesis tests/e2e/js/node_modules
	find . -name __pycache__ -prune -exec rm -rf {} +
