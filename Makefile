# Each target works as the first command on a fresh clone and installs only what has changed.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo run browser test test-all lint fuzz fault corpus clean

help:
	@echo "make demo                          render two photos and stylize one like the other"
	@echo "make run CONTENT=a.jpg STYLE=b.jpg give photo a the colours and tones of photo b"
	@echo "make test                          run the tests, except the slow ones"
	@echo "make test-all                      run the tests, then the slow ones"
	@echo "make lint                          check style and types"
	@echo "make fuzz                          send 10,000 damaged files through the command"
	@echo "make fault                         test kills, full disks and competing processes"
	@echo "make corpus DIR=photos             compare all photos of a folder with other programs"
	@echo "make clean                         remove the environment and the demo"

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo/style.jpg: examples/render.py | $(INSTALLED)
	$(BIN)/python examples/render.py demo

demo: $(INSTALLED) demo/style.jpg
	@$(BIN)/photostyle image demo/content.jpg demo/style.jpg -o demo/result.jpg --compare --force
	@echo "content | style | result, side by side: demo/result-compare.jpg"

run: $(INSTALLED)
	@test -n "$(CONTENT)" -a -n "$(STYLE)" || { echo "usage: make run CONTENT=a.jpg STYLE=b.jpg"; exit 2; }
	@$(BIN)/photostyle image $(ARGS) -- "$(CONTENT)" "$(STYLE)"

# Without a browser the tests of pages are skipped, with a reason.
browser: export DEBIAN_FRONTEND = noninteractive
browser:
	@command -v chromium > /dev/null \
	|| { test "$$(id -u)" = 0 && apt-get update -q && apt-get install -q -y --no-install-recommends chromium; } \
	|| echo "Chromium is missing, so the tests of pages are skipped; try: apt-get install chromium" >&2

# One process per core, each with one thread.
test test-all: export OMP_NUM_THREADS = 1
PYTEST = $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

test: $(INSTALLED) browser
	$(PYTEST) -m "not slow"

test-all: test
	$(PYTEST) -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check src tests examples
	$(BIN)/ruff format --check src tests examples
	$(BIN)/mypy

fuzz: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m fuzz.corruption --count 10000

fault: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m faults.faults --signals 500

corpus: export OMP_NUM_THREADS = 1
corpus: export VIPS_CONCURRENCY = 1
corpus: $(INSTALLED)
	@test -n "$(DIR)" || { echo "usage: make corpus DIR=photos"; exit 2; }
	PYTHONPATH=tests $(BIN)/python -m corpus.corpus $(ARGS) -- $(DIR)

clean:
	rm -rf .venv demo
