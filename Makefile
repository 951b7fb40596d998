# Everything starts here. Needs make and Python >= 3.11; Node and every library come by pip into .venv.
# Another Python: make setup PYTHON=python3.13

PYTHON ?= python3
STAGE ?= local
BIN := .venv/bin
STAMP := .venv/.requirements-installed
BENCH_STAMP := .venv-bench/.requirements-installed
CHECKED_STAGES := local dev prod

# The wheel's own bin/npx cannot find its library, so npm's script is started directly.
NODE_FOLDER = $(shell $(BIN)/python -c 'import stacks; print(stacks.NODE_FOLDER)')
CDK = PATH="$(NODE_FOLDER):$$PATH" node $(NODE_FOLDER)/../lib/node_modules/npm/bin/npx-cli.js --yes aws-cdk@2.1148.1

# W3005: CDK states the dependency on a role twice, by reference and by DependsOn; that is harmless.
CFN_LINT := $(BIN)/cfn-lint --ignore-checks W3005 --

.DEFAULT_GOAL := help
.PHONY: help setup synth run test check bench deploy constraints clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

setup: $(STAMP) ## create .venv with everything pinned

$(STAMP): requirements.txt constraints.txt lambdas/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Billproof needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another: make setup PYTHON=python3.13" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Creating .venv ..."; $(PYTHON) -m venv .venv; }
	@echo "Installing requirements.txt into .venv (a minute or two the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

synth: setup ## synthesize STAGE (default local) to cdk.out/ with all cdk-nag checks
	@echo "Synthesizing stage $(STAGE) ..."
	@STAGE=$(STAGE) $(BIN)/python app.py

run: setup ## run everything locally; ONCE=1 ends after the sample month, INPUT=file.csv uses a trace, PORT=8080
	@echo "Synthesizing stage local ..."
	@STAGE=local $(BIN)/python app.py
	@$(BIN)/python -m local.run $(if $(filter-out 0,$(ONCE)),--once) $(if $(INPUT),--input "$(INPUT)") $(if $(PORT),--port $(PORT))

test: check ## all checks, then all tests
	@echo "Running the tests ..."
	@$(BIN)/python -m pytest

check: setup ## format, lint, types, import contracts, templates of all stages (cdk-nag, cfn-lint)
	@echo "Format ..." && $(BIN)/ruff format --check --quiet .
	@echo "Lint ..." && $(BIN)/ruff check --quiet .
	@echo "Types ..." && $(BIN)/mypy && $(BIN)/mypy app.py
	@echo "Import contracts ..." && $(BIN)/lint-imports
	@for stage in $(CHECKED_STAGES); do \
	  echo "Template of stage $$stage: cdk-nag, cfn-lint ..."; \
	  STAGE=$$stage CDK_OUTDIR=build/check/$$stage $(BIN)/python app.py >/dev/null || exit 1; \
	  $(CFN_LINT) build/check/$$stage/Billproof-$$stage.template.json || exit 1; \
	done

bench: setup $(BENCH_STAMP) ## measure ingest, rating (beside DuckDB and price libraries) and cost per million events
	@$(BIN)/python -m bench

# Price libraries are only measured beside us, in an environment of their own; without them the bench says so and goes on.
$(BENCH_STAMP): bench/requirements.txt constraints.txt
	@echo "Installing bench/requirements.txt into .venv-bench (a minute the first time) ..."
	@if { test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench; } && \
	  .venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt; \
	  then touch $@; else echo "Price libraries could not be installed: section 4 is without them." >&2; fi

deploy: setup ## deploy STAGE=dev or STAGE=prod; see stacks/README.md
	@case "$(STAGE)" in local|"") echo "Which stage? make deploy STAGE=dev (stages are in cdk.json)" >&2; exit 1;; esac
	@test -n "$$AWS_PROFILE$$AWS_ACCESS_KEY_ID$$AWS_ROLE_ARN$$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" || { \
	  echo "No AWS credentials: set AWS_PROFILE (or the AWS_ACCESS_KEY_ID family)" >&2; exit 1; }
	@test -n "$$AWS_REGION$$AWS_DEFAULT_REGION$$AWS_PROFILE" || { echo "No region: set AWS_REGION" >&2; exit 1; }
	@echo "Synthesizing stage $(STAGE) with its dependency layer (needs python3.13 on PATH) ..."
	@rm -rf build/deploy/$(STAGE)
	@STAGE=$(STAGE) CDK_OUTDIR=build/deploy/$(STAGE) $(BIN)/python app.py --bundle
	$(CDK) deploy --app build/deploy/$(STAGE) --require-approval broadening Billproof-$(STAGE)

constraints: setup ## write the versions installed in .venv to constraints.txt
	@{ echo "# Every package of a working installation, for pip's -c. Made by \`make constraints\`."; \
	  $(BIN)/python -m pip freeze --disable-pip-version-check | LC_ALL=C sort -f; } > constraints.txt

clean: ## remove everything that make made
	rm -rf .venv .venv-bench cdk.out build out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
