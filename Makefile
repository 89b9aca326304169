# Each command works from nothing but Python 3.11 or later and make. CONTRIBUTING.md says which command proves what.
.PHONY: install demo demo-audit test e2e docs soak bench load audit-load lint mutants lock clean
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
SOURCES := handler:cli:.

install: .venv/installed .venv-sam/installed .venv-cdk/installed

demo: .venv/installed .venv-sam/installed
	@PYTHONPATH=$(SOURCES) $(BIN)/python -m demo

# An account with broken rotations, to try the audit on. It stays until Ctrl-C.
demo-audit: .venv/installed
	@PYTHONPATH=$(SOURCES) $(BIN)/python -m demo.audit

# The tests of a file run in one process, because they share an emulator or a folder.
test: lint install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# End-to-end tests, all or those whose names contain TEST: make e2e TEST=rollback
e2e: install
	$(BIN)/python -m pytest tests/e2e $(if $(TEST),-k '$(TEST)')

# Writes the generated parts of the documentation. `make test` fails if they are outdated.
docs: .venv/installed
	PYTHONPATH=$(SOURCES) $(BIN)/python -m docs.generate

# Thousands of new generated inputs, where `make test` takes the same few: a quarter of an hour.
soak: .venv/installed
	$(BIN)/python -m pytest --hypothesis-profile soak tests/model tests/unit/cli/test_schema.py tests/lint \
		tests/unit/audit/test_independent_evaluator.py tests/unit/iam

# CPU and memory beside a plain implementation. On a busy machine, give more ROUNDS.
bench: .venv/installed
	@PYTHONPATH=$(SOURCES) $(BIN)/python -m load.bench $(if $(ROUNDS),--rounds $(ROUNDS))

# 500 resources at the same time with an IAM that throttles: three minutes.
load: .venv/installed
	@PYTHONPATH=$(SOURCES) $(BIN)/python -m load.provider_load

# Audits of 1,000 secrets, of 10,000, and of 20 accounts, with the quotas of a real account: seven minutes.
audit-load: .venv/installed
	@PYTHONPATH=$(SOURCES) $(BIN)/python -m load.audit_load $(if $(SECRETS),--secrets $(SECRETS))

lint: .venv/installed .venv-sam/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=$(SOURCES) $(BIN)/lint-imports --no-cache
	$(BIN)/cfn-lint --append-rules cli/rotation_role_policy_cli/lint -- \
		template.yaml demo/*.yaml examples/*.yaml examples/terraform/*.yaml
	@# `sam validate` needs a region, but makes no call.
	AWS_DEFAULT_REGION=eu-central-1 SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam validate --lint

# Do the tests notice each small change to the rules? Half an hour, so it is not part of `make test`.
mutants: .venv/installed
	nice $(BIN)/python tests/mutants

# ministack and aws-sam-cli each pin their own botocore. The CDK is large, and only one test needs it.
.venv/installed: tests/requirements-dev.txt
.venv-sam/installed: tests/requirements-sam.txt
.venv-cdk/installed: tests/requirements-cdk.txt
.venv/installed .venv-sam/installed .venv-cdk/installed:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	@echo "Installing $< (once) ..."
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --requirement $<
	@touch $@

# Pins the newest versions that pyproject.toml allows.
lock: .venv/installed
	$(BIN)/python -m pip install --quiet uv
	for group in dev sam cdk; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
			--group $$group --output-file tests/requirements-$$group.txt || exit 1; \
	done

clean:
	rm -rf .venv .venv-sam .venv-cdk .build .aws-sam
