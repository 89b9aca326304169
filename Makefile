# The two commands of the README: `make demo` and `make test`. Both start from nothing but Python 3.11 or later and make.
.PHONY: demo test docs soak bench load lint mutants lock clean
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
SAM := .venv-sam/bin

demo: .venv/installed .venv-sam/installed
	@PYTHONPATH=handler:cli PATH="$(CURDIR)/$(SAM):$$PATH" $(BIN)/python -m demo

# A file stays on one worker: its emulator, or the demo's folder, is its own.
test: lint .venv/installed .venv-sam/installed .venv-cdk/installed
	PATH="$(CURDIR)/$(SAM):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The README's tables from the code, and its pictures from real runs. `make test` fails where they differ.
docs: .venv/installed
	PYTHONPATH=handler:cli:. $(BIN)/python -m docs.generate

# Ten thousand new steps and thousands of new inputs, where `make test` takes the same few: a quarter of an hour.
soak: .venv/installed
	$(BIN)/python -m pytest --hypothesis-profile soak tests/model tests/unit/cli/test_schema.py tests/lint

# CPU and memory beside a plain implementation and the least possible one; on a busy machine, more ROUNDS.
bench: .venv/installed
	@$(BIN)/python -m benchmarks $(if $(ROUNDS),--rounds $(ROUNDS))

# 500 resources at once against an IAM that throttles: three minutes.
load: .venv/installed
	@PYTHONPATH=handler:cli:. $(BIN)/python -m benchmarks.load

lint: .venv/installed .venv-sam/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cfn-lint --append-rules cli/rotation_role_policy_cli/lint -- \
		template.yaml demo/*.yaml examples/*.yaml examples/terraform/*.yaml
	@# `sam validate` wants a region, and asks nobody.
	AWS_DEFAULT_REGION=eu-central-1 SAM_CLI_TELEMETRY=0 $(SAM)/sam validate --lint

# Would a test notice if a part of the rules were wrong? Ten to thirty minutes, so it is no part of `make test`.
mutants: .venv/installed
	PYTHONPATH=. nice $(BIN)/python -m tests.mutants

# ministack and aws-sam-cli each pin their own botocore; the CDK is large, and one test's alone.
.venv/installed: tests/requirements-dev.txt
.venv-sam/installed: tests/requirements-sam.txt
.venv-cdk/installed: tests/requirements-cdk.txt
.venv/installed .venv-sam/installed .venv-cdk/installed:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	@echo "Installing $< (once) ..."
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --requirement $<
	@touch $@

# Writes the versions that are installed, from the ones that pyproject.toml asks for.
lock: .venv/installed
	$(BIN)/python -m pip install --quiet uv
	for group in dev sam cdk; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
			--group $$group --output-file tests/requirements-$$group.txt || exit 1; \
	done

clean:
	rm -rf .venv .venv-sam .venv-cdk .build .aws-sam
