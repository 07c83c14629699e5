# bctoolkit needs Python 3.11 or later and make; everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOGETHER := --numprocesses=2 --dist=loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test check quick soak arm gpu bench zoo docs site clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "bctoolkit needs Python 3.11 or later; set PYTHON=…"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## the whole way once on synthetic pictures: train, export, measure
	$(BIN)/bctk demo

check: $(INSTALLED)  ## style, types, layers
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	@# 2 is no error of types: on a very busy machine its worker processes start too late for it
	$(BIN)/mypy || { [ $$? = 2 ] && $(BIN)/mypy --num-workers=0; }
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tests/architecture.py

test: check  ## check, then every test; COVERAGE=1 also measures the branches they reach
	@rm -rf .coverage
	$(if $(COVERAGE),$(BIN)/coverage run,$(BIN)/python) -m pytest --quiet $(TOGETHER) --durations=10
	@$(if $(COVERAGE),$(BIN)/coverage combine --quiet && $(BIN)/coverage report)

quick: $(INSTALLED)  ## the tests that start no command and train or export no whole network
	$(BIN)/python -m pytest --quiet $(TOGETHER) -m 'not slow and not soak and not arm'

soak: $(INSTALLED)  ## the same proofs over many seeds and minutes; SHARE=0/2 or 1/2 for one half of them
	$(BIN)/python -m pytest --quiet $(TOGETHER) --durations=10 -m soak $(if $(SHARE),--share $(SHARE))

arm: $(INSTALLED)  ## the zoo as an aarch64 process under QEMU, as Raspberry Pi 4 and 5
	$(BIN)/python -m pytest --quiet $(TOGETHER) --dist=load -rs -m arm tests/arm

gpu: $(INSTALLED)  ## every check that needs a GPU, in nine minutes at most: gpu.json
	$(BIN)/python -m perf.gpu --out gpu.json

bench: $(INSTALLED)  ## our hot paths, and the same work done by peers side by side
	$(BIN)/python -m pytest --quiet perf --benchmark-autosave --benchmark-columns=median,iqr,rounds --benchmark-sort=name
	$(BIN)/python -m perf.engines
	$(BIN)/python -m perf.latency
	$(BIN)/python -m perf.train_step

zoo: $(INSTALLED)  ## train and export the model in exports/zoo anew: make zoo DATA=images/
	$(BIN)/bctk train --recipe convnext_atto --data $(DATA) --name atto --prepared "centre 200 of 360"
	$(BIN)/bctk export atto --recipe zoo --data $(DATA) --golden synthetic --licence "CC BY 4.0" --out exports/zoo
	for name in onnx tflite; do $(BIN)/bctk evaluate exports/zoo/atto-$$name-int8-dynamic --data $(DATA) --corruptions --json \
		> exports/zoo/atto-$$name-int8-dynamic.json; done
	$(BIN)/bctk vectors exports/zoo/atto-onnx-int8-dynamic exports/zoo/atto-tflite-int8-dynamic --out exports/zoo/vectors

docs: $(INSTALLED)  ## regenerate the reference, the API and the picture of the layers from the code
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/generate_api.py
	$(BIN)/python docs/architecture.py

site: $(INSTALLED)  ## the documentation as a site in site/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python docs/site/build.py

clean:  ## remove what make has installed
	rm -rf $(VENV) .arm .cpp site
