# `make` lists the verbs. Nothing is written outside the folder except by `install`, and Debian packages that
# are missing are installed only when make runs as root.

SHELL := bash
PREFIX ?= /usr/local
LIBDIR ?= lib
DESTDIR ?=
SWIFT ?= swift
BUILD := .build/release
DIST := .build/dist
PROGRAM := $(DIST)/lamina
LIBRARY := $(DIST)/liblamina.so
# Where `test` and `demo` install to.
STAGE := .build/stage

.DEFAULT_GOAL := help
.PHONY: help build test demo bench bench-peers bench-train parity conformance format lint check-headers check-abi
.PHONY: install uninstall wheel deb docs clean
.PHONY: packages packages-python packages-venv

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- What must be installed ---------------------------------------------------------------------------------

# $(call need,COMMAND,PACKAGE): PACKAGE when COMMAND does not succeed.
need = $(if $(shell ($(1)) >/dev/null 2>&1 && echo yes),,$(2))
# Some Python that has numpy: the user's own, Debian's, or none.
PYTHON = $(firstword $(foreach python,python3 /usr/bin/python3,\
  $(if $(shell $(python) -c 'import numpy' 2>/dev/null && echo yes),$(python))))
LIBRARIES = $(strip \
  $(call need,command -v cc,gcc libc6-dev) \
  $(call need,command -v pkg-config,pkg-config) \
  $(call need,pkg-config --exists libjpeg,libjpeg-dev) \
  $(call need,pkg-config --exists libpng,libpng-dev) \
  $(call need,pkg-config --exists zlib,zlib1g-dev))
NUMPY = $(strip $(if $(PYTHON),,python3-numpy) $(call need,python3 -m pip --version,python3-pip))
# The demo goes without where it cannot be installed.
CLOTHES = $(call need,test -d /usr/share/datasets/fashion-mnist,dataset-fashion-mnist)
VENV = $(call need,python3 -c 'import ensurepip',python3-venv)

define install_packages
	@missing="$(strip $(1))"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "missing packages; run: sudo apt-get install $$missing" >&2; exit 1; \
	fi; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing
endef

packages:
	@command -v $(SWIFT) >/dev/null || { echo "missing the Swift toolchain, 6.1 or newer" >&2; exit 1; }
	$(call install_packages,$(LIBRARIES))

packages-python:
	$(call install_packages,$(NUMPY))

packages-venv:
	$(call install_packages,$(VENV))

# --- Verbs --------------------------------------------------------------------------------------------------

# SwiftPM's own products need the toolchain's runtime. Those in $(DIST) hold it: they need nothing but the C and
# C++ libraries and the picture libraries.
build: packages ## build the program `lamina` and the library liblamina.so
	$(SWIFT) build -c release --product lamina
	sh Sources/LaminaC/link.sh $(DIST)
	$(SWIFT)c -static-stdlib @$(BUILD)/lamina.product/Objects.LinkFileList -o $(PROGRAM) \
	  -Xlinker --defsym=main=lamina_tool_main -Xlinker --gc-sections -Xlinker --strip-all \
	  $(shell pkg-config --libs libjpeg libpng zlib)

test: check-headers packages-python ## run every test, in release
	@$(MAKE) --no-print-directory install PREFIX=$(CURDIR)/$(STAGE) DESTDIR=
	@$(MAKE) --no-print-directory check-abi
	LAMINA_LIBRARY=$(CURDIR)/$(STAGE)/lib/liblamina.so PYTHONPATH=examples/python \
	  $(PYTHON) -m unittest discover -s examples/python/tests
	@set -o pipefail; LAMINA_PREFIX=$(CURDIR)/$(STAGE) LAMINA_PYTHON="$$(command -v $(PYTHON))" \
	  $(SWIFT) test -c release 2>&1 | tee $(STAGE)/test.log || \
	  { echo; echo "What failed:"; grep -aE '^✘|error:' $(STAGE)/test.log; exit 1; }

demo: packages-python ## classify a cat from the command line, C and Python, and fit a ResNet to pictures of clothes
	@[ -z "$(CLOTHES)" ] || [ "$$(id -u)" != 0 ] || (apt-get update -q && apt-get install -qy $(CLOTHES)) || true
	@$(MAKE) --no-print-directory install PREFIX=$(CURDIR)/$(STAGE) DESTDIR=
	$(PYTHON) examples/python/demo.py --prefix $(STAGE)

BENCH ?= lenet5|alexnet|vgg16|googlenet|inception_v3|resnet(18|34|50)|seresnet50|xception|efficientnet_lite0
bench: build ## time the catalogue's networks that match BENCH, on one thread and on all
	@for model in $$($(PROGRAM) models | awk '{ print $$1 }' | grep -Ex '$(BENCH)'); do \
	  $(PROGRAM) bench $$model --threads 1 && $(PROGRAM) bench $$model || exit 1; \
	done

PEERS ?= downloads/peers
bench-peers: build .venv-peers/ready ## compare speed, memory and start with four other engines
	.venv-peers/bin/python examples/benchmarks/export_networks.py $(PEERS)
	LAMINA_LIBRARY=$(CURDIR)/$(LIBRARY) PYTHONPATH=examples/python .venv-peers/bin/python \
	  examples/benchmarks/side_by_side.py --networks $(PEERS) --markdown examples/benchmarks/README.md

bench-train: build .venv-peers/ready ## compare the speed of training with PyTorch
	.venv-peers/bin/python examples/benchmarks/training.py --program $(PROGRAM) \
	  --markdown examples/benchmarks/README.md

conformance: build .venv-conformance/ready ## run ONNX's own backend tests
	LAMINA_LIBRARY=$(CURDIR)/$(LIBRARY) PYTHONPATH=examples/python \
	  .venv-conformance/bin/python examples/python/conformance.py

NETWORKS ?=
parity: build .venv-parity/ready ## compare networks, or those named by NETWORKS, with PyTorch, Keras and ONNX Runtime
	LAMINA_LIBRARY=$(CURDIR)/$(LIBRARY) PYTHONPATH=examples/python \
	  .venv-parity/bin/python -m parity $(NETWORKS)

.venv-conformance/ready: WITH = numpy onnx==1.23.2
.venv-parity/ready: WITH = numpy torch torchvision timm keras h5py onnx onnxscript onnxruntime safetensors
.venv-peers/ready: WITH = numpy onnx onnxruntime onnxscript openvino ncnn pnnx torch torchvision timm
.venv-%/ready: | packages-venv
	python3 -m venv $(@D)
	$(@D)/bin/python -m pip install --disable-pip-version-check $(WITH)
	@touch $@

HEADERS := $(wildcard include/lamina/*.h)
STRICT := -Wall -Wextra -pedantic -Werror -fsyntax-only -Iinclude
check-headers: ## compile the public headers as C99, C11, C17, C++11, C++17 and C++20
	@for header in $(HEADERS); do \
	  for mode in c:c99 c:c11 c:c17 c++:c++11 c++:c++17 c++:c++20; do \
	    echo "#include \"$$header\"" | $(CC) -x $${mode%:*} -std=$${mode#*:} $(STRICT) -I. - || exit 1; \
	  done; \
	done

RECORD ?=
check-abi: ## compare functions, structs and constants of the headers with the recorded ones; RECORD=yes adds new ones
	python3 Tests/abi.py $(if $(wildcard $(LIBRARY)),--library $(LIBRARY)) $(if $(RECORD),--record)

C_SOURCES = $(wildcard include/lamina/*.h Sources/*/*.[ch] Sources/*/include/*.h examples/c/*.c examples/cpp/*.cpp plugins/*/*.c)
format: ## put every file into the project's format
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests
	clang-format -i $(C_SOURCES)

lint: ## check format, doc comments and forced unwraps
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests
	clang-format --dry-run -Werror $(C_SOURCES)

INSTALL := LIBDIR=$(LIBDIR) sh Sources/LaminaC/install/install.sh
install: build ## install program, library, headers, manual, completions and plugins under PREFIX
	$(INSTALL) tree $(DIST)/tree
	$(INSTALL) add $(DIST)/tree $(DESTDIR)$(PREFIX)
	case "$(DESTDIR)$(PREFIX)" in /usr|/usr/local) ldconfig ;; esac

uninstall: ## remove what install put under PREFIX
	$(INSTALL) remove $(DESTDIR)$(PREFIX)

WHEEL := .build/wheel
wheel: build ## make a wheel for pip, with the library inside, in dist
	PICTURES=static sh Sources/LaminaC/link.sh $(WHEEL)
	rm -f dist/*.whl
	python3 Sources/LaminaC/install/wheel.py $(WHEEL)/liblamina.so dist

deb: build ## make a Debian package in dist
	$(call install_packages,$(call need,command -v dpkg-shlibdeps,dpkg-dev))
	rm -f dist/*.deb
	sh Sources/LaminaC/install/deb.sh dist

docs: build ## write the documentation of the Swift modules and the C headers into .build/docs
	$(SWIFT) build -c release --product LaminaPluginKit
	sh Sources/LaminaC/install/docs.sh .build/docs

clean: ## remove what was built; downloads and environments stay
	rm -rf .build dist
