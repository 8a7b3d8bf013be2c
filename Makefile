# make demo, make test, … ; `make` alone lists them.
# PYTHON=python3.12 picks the interpreter, VENV=DIR the virtual environment.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
PIP = $(RUN) -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test parity lint format table clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="	" read -r name what; do \
		printf 'make %-8s %s\n' "$$name" "$$what"; done

demo: export HF_HUB_OFFLINE = 1
demo: $(VENV)/.duet  ## set up, answer a few texts with both models, measure every pairing on the bundled samples, the cost of two
	$(RUN) -m tasks.translate "I am happy"
	$(RUN) -m tasks.sentiment "A moving and funny film, if a little long."
	$(RUN) -m tasks.ner "Ada Lovelace met Charles Babbage in London."
	$(RUN) -m tasks.qa "Who wrote it?" --context "Emma was written by Jane Austen and published in 1815."
	$(RUN) -m tasks.classify "Shares in Tokyo fell after the central bank raised interest rates."
	$(RUN) -m tasks.intents "wake me at seven tomorrow"
	$(RUN) -m tasks.summarize "The city council voted on Tuesday to close the old bridge for repairs until the spring."
	$(RUN) -m tasks.complete "Thank you very mu" --suggestions 3
	$(RUN) -m tasks.chat "Do you like music?"
	$(RUN) -m tasks.market "Operating profit rose to EUR 13.1 mn from EUR 8.7 mn."
	$(RUN) -m tasks.similarity "A man is playing a guitar." "Someone plays the guitar."
	$(RUN) -m tasks.translate "Two dogs are running on the beach." --compare
	$(RUN) -m scripts.harness --tasks all --data samples --no-cost --output runs/demo
	$(RUN) -m scripts.harness --tasks translate,ner --data samples --runs 60 --seconds 2 --output runs/demo

test: export HF_HUB_OFFLINE = 1
test: lint  ## set up, lint, run every test
	$(RUN) -m pytest

parity: export HF_HUB_OFFLINE = 1
parity: $(VENV)/.duet-dev  ## replay all that transformers 4.57.6 answered (minutes; `make test` replays a part)
	$(RUN) -m pytest -m "" tests/parity

lint: $(VENV)/.duet-dev  ## check style and formatting
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: $(VENV)/.duet-dev  ## mend what lint can mend
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

table: $(VENV)/.duet-dev  ## write the results of results/*.json into README.md and results/report.html
	$(RUN) -m scripts.report

clean:  ## remove what runs and builds leave behind (the virtual environment stays)
	rm -rf runs/demo build dist *.egg-info .pytest_cache .ruff_cache
	find pipelines tasks scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up: once, and again when pyproject.toml changes ---

$(VENV)/.duet: pyproject.toml | $(RUN)
	@echo "installing into $(VENV): the first time takes minutes, torch is large" >&2
	$(PIP) --editable .
	@touch $@

$(VENV)/.duet-dev: pyproject.toml | $(RUN)
	@echo "installing into $(VENV): the first time takes minutes, torch is large" >&2
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.duet

$(RUN):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here: install Python 3.11 to 3.13," \
		"or name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "$$($(PYTHON) --version) won't do: 3.11 to 3.13 is needed. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) can't make virtual environments here. On Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
