# `make help` lists what there is. Everything runs in .venv, which is made and kept up to date
# as needed. PYTHON=python3.12 make … takes another interpreter.

VENV ?= .venv
export VENV
RUN = $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo examples test pytest lint format types package release bench docs docs-live docs-links screenshots setup clean distclean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## set up, record a simulated robot arm, check what was recorded, draw it
	@tools/setup.sh demo
	@$(RUN) examples/robot.py $(ARGS)

examples: setup ## run every example
	@for name in quickstart tracks images cartpole robot gymnasium_cartpole gymnasium_pixels mujoco_arm \
		cameras lightning_fit sb3_ppo behaviour_cloning sweep resume export_session remote; do \
		echo "--- examples/$$name.py"; $(RUN) examples/$$name.py || exit 1; done

test: lint types package pytest ## set up and run everything that CI runs

# Many tests wait for a server or a browser: one worker more than there are cores.
pytest: setup ## the tests alone; ARGS="tests/test_rows.py -x" picks some
	@$(RUN) -m pytest --dist worksteal -n $$($(RUN) -c 'import os; print((os.cpu_count() or 1) + 1)') $(ARGS)

lint: setup ## ruff: rules and formatting
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

format: setup ## put the code into the house's format
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

types: setup ## mypy --strict; and TypeScript's checker over the pages, where npm is
	@$(RUN) -m mypy
	@tools/check_pages.sh

package: setup ## build sdist and wheel, check them, install the wheel elsewhere and try it
	@tools/check_package.sh

release: setup ## that, and each extra alone; ARGS="mcap torch" tries only these
	@tools/check_release.sh $(ARGS)

bench: setup ## speed and memory, beside the floors; ARGS=--quick takes two minutes
	@$(RUN) benchmarks $(ARGS)

docs: setup ## build the documentation into build/docs; any warning fails it
	@$(RUN) -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "the documentation: $(CURDIR)/build/docs/index.html"

docs-live: setup ## show the documentation in a browser, built anew at every change
	@$(RUN) -m sphinx_autobuild --host 127.0.0.1 --port 0 --open-browser --watch ml_dash \
		--watch integrations --watch CHANGELOG.md --watch CONTRIBUTING.md docs build/docs $(ARGS)

docs-links: setup ## ask the network whether links to elsewhere lead somewhere
	@$(RUN) -m sphinx -q -b linkcheck docs build/docs-links

screenshots: setup ## make the pictures of the pages in docs/images
	@$(RUN) tools/screenshots.py

setup: ## make or update .venv with everything
	@tools/setup.sh dev

clean: ## remove what building and testing left
	@rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## that, and the virtual environment
	@rm -rf $(VENV)
