# The two commands of the README, `make demo` and `make test`, and what lies between them.
# CMakePresets.json holds the configurations; this file only puts steps in order.
#
#   make          library, tests and samples into build/, a Python environment into .venv/
#   make demo     the main job on one screen
#   make test     everything that a change must pass
#   make bench    what marking and detection cost, beside what a user would otherwise run
#   make distillation MODELS=... TEXTS=...   teaches students for hours, and tests them: go on with
#                 the same command after a stop
#   make format   formats the sources
#   make clean    removes build/ and .venv/

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := all
.PHONY: all build python demo test bench distillation format clean

PYTHON ?= python3
BIN := .venv/bin

# What the Python package is built from: a change of any of it builds the package anew.
PACKAGE_SOURCES := pyproject.toml CMakeLists.txt $(shell find bindings cmake include sdk samples/story \
  -type f -not -name '*.pyc' 2>/dev/null)

all: build python

build:
	tools/install_dependencies.sh build
	cmake --preset release
	cmake --build --preset release

python: .venv/installed

.venv/bin/python:
	tools/install_dependencies.sh build
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/installed: .venv/bin/python $(PACKAGE_SOURCES)
	tools/install_dependencies.sh build
	$(BIN)/python -m pip install --quiet '.[cli]'
	touch $@

demo: .venv/installed
	$(BIN)/countermark demo

test:
	PYTHON=$(PYTHON) tools/test.sh

bench: .venv/benched
	tools/install_dependencies.sh bench
	cmake --preset bench
	cmake --build --preset bench
	$(BIN)/python bench/performance.py build/bench/bench/countermark_bench \
	  --json build/bench/performance.json --plots build/bench/plots

distillation: .venv/benched
	$(BIN)/python tools/distillation/teach.py $(MODELS) $(TEXTS)
	$(BIN)/python tools/distillation/examine.py $(MODELS) $(TEXTS)
	$(BIN)/python tools/distillation/tables.py --plots docs/images
	$(BIN)/python tools/distillation/sequential.py $(MODELS) $(TEXTS)

.venv/benched: .venv/developed
	$(BIN)/python -m pip install --quiet '.[cli,dev,bench]'
	touch $@

format: .venv/developed
	find include sdk bindings tests samples bench -name '*.h' -o -name '*.cc' | xargs $(BIN)/clang-format -i
	$(BIN)/ruff format bindings tests tools samples bench
	$(BIN)/ruff check --fix bindings tests tools samples bench

.venv/developed: .venv/installed
	$(BIN)/python -m pip install --quiet '.[cli,dev]'
	touch $@

clean:
	rm -rf build .venv
