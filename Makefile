# make demo   environment if missing, then the main job on toytown
# make test   environment if missing, then format, types, import directions, tests
# make slow   the tests that take longer
# make PYTHON=python3.12 ...   with another interpreter

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# faiss-cpu and faiss-gpu install the same folder, so an environment holds one of them.
FAISS := $(if $(shell nvidia-smi -L 2>/dev/null),gpu,cpu)
INSTALLED := $(VENV)/.installed-$(FAISS)

.PHONY: demo test slow check format clean

demo: $(INSTALLED)
	$(BIN)/scenequilt demo --out out/demo --weights docs/weights/toytown

test: check
	$(BIN)/python -m pytest -q -n 2

slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -m slow

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p scenequilt
	$(BIN)/mypy tests
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "scenequilt needs Python 3.11 or newer, $(PYTHON) is older: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[$(FAISS),evaluation,training,tensorboard,onnx,scale,dev]' --constraint constraints.txt
	touch $@

clean:
	rm -rf $(VENV) out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
