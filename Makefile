# Memoir: one entry for everything a contributor runs. `make` lists the targets.
.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help setup demo test golden faults fuzz live-llm lint format generate generate-check breaking bench serve stores stores-stop lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

setup: ## install the Python and Node packages into the checkout (only what changed)
	@scripts/setup.sh

demo: setup ## replay a conversation, search, follow, reset; TRANSCRIPT=path takes another file
	@$(BIN)/python examples/demo.py $(if $(TRANSCRIPT),--transcript "$(TRANSCRIPT)")

test: setup ## run every check and every test
	@$(BIN)/python scripts/test_all.py

golden: setup ## run the golden corpus with every SDK and write the parity matrix
	@npm --prefix sdk-node run --silent build
	@npm --prefix sdk-node run --silent build:golden
	@PYTHONPATH=golden-tests $(BIN)/python -m golden_runner
	@$(BIN)/python scripts/readme_matrix.py

faults: setup ## kill the server at every step and under load, on both profiles, damage its files, kill and cut off the stores, write docs/faults.md
	@MEMOIR_FAULTS=all $(BIN)/python -m pytest tests/faults

fuzz: setup ## longer than in `make test`, from a seed by chance, which is printed; MEMOIR_FUZZ_SEED=n repeats a run
	@MEMOIR_FUZZ=1 $(BIN)/python -m pytest tests/fuzz

live-llm: setup ## ask a real provider, where a key is there, what the tests ask its double, and record it; LIVE="--only tea" passes options
	@$(BIN)/python scripts/live_llm.py $(LIVE)

lint: setup ## ruff, mypy, import layers, buf, tsc
	@scripts/lint.sh

format: setup ## format the Python sources and the protos
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .
	@$(BIN)/buf format -w proto

generate: setup ## regenerate all code that follows from proto/ (no network)
	@$(BIN)/python scripts/generate.py

generate-check: setup ## fail when regeneration would change a byte
	@$(BIN)/python scripts/generate.py --check

breaking: setup ## compare the contract with the last release
	@scripts/breaking.sh

bench: setup ## measure calls, growth, writes and streaming; writes docs/benchmarks.md; BENCH="--rounds 1" passes options
	@$(BIN)/python -m bench $(BENCH)

serve: setup ## run a server on the embedded profile with its data in .memoir
	@$(BIN)/memoir serve --data .memoir

stores: setup ## start Weaviate, Neo4j, PostgreSQL and Redis on loopback, data in .memoir-stores; STORES=redis,neo4j takes some
	@$(BIN)/python -m stores start $(if $(STORES),--only "$(STORES)")

stores-stop: ## stop what `make stores` started; the data stays
	@$(BIN)/python -m stores stop

lock: setup ## resolve the requirements again and rewrite the lock files
	@scripts/lock.sh

clean: ## remove build output, environments and caches (data in .memoir stays)
	rm -rf .venv sdk-node/node_modules sdk-node/dist sdk-node/build
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf *.egg-info sdk-python/*.egg-info server/*.egg-info
