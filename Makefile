# Two commands do everything on a fresh Debian 12, as root: `make demo` and `make test`. Both set up what they need, once.

.DEFAULT_GOAL := help
SHELL   := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON  ?= /usr/bin/python3
VENV    := .venv
BIN     := $(VENV)/bin
STATE   := $(VENV)/.made
TARGET_PYTHON ?= /usr/bin/python3.11
WORKERS ?= $(shell echo $$(($$(nproc) + 1)))

# What the agent and the lab need from Debian, and what the tests and benchmarks need beside it.
DEBIAN_RUN  := python3 python3-venv gcc libc6-dev nftables iproute2 iputils-ping libsvn1 libapr1 libcurl4 libsasl2-2
DEBIAN_TEST := $(DEBIAN_RUN) busybox-static conntrack containernetworking-plugins curl dbus debootstrap default-jre-headless docker-compose docker.io etcd-client etcd-server \
               gir1.2-glib-2.0 iperf3 iptables libzookeeper-java openssl podman polkitd procps python3-dbus python3-gi rpm systemd tini
DEBIAN_KERNELS := kmod qemu-system-x86

.PHONY: demo test test-long test-kernels lint bench fuzz shim packages mesos setup setup-dev clean help

help:
	@echo "make demo [KEEP=1]   three hosts, real Mesos, tasks with their own addresses, policy measured"
	@echo "make test            linters and all tests"
	@echo "make test-long       the guides in all four ways, services in containers, and more that takes minutes"
	@echo "make test-kernels    what stands on the kernel, on Debian's own ones, in machines of QEMU [KERNELS=--kernel 6.1]"
	@echo "make lint            ruff, mypy, import-linter"
	@echo "make bench           the benchmarks, printed"
	@echo "make fuzz            random policy questions to several models, for OCICAT_FUZZ_S seconds (600)"
	@echo "make packages        a deb, an rpm, a wheel and the sources, in dist/"
	@echo "make clean           remove what the other targets made here"

demo: setup mesos
	@$(BIN)/python -P -m ocicat.lab.demo $(if $(KEEP),--keep)

# Half of the time a test waits: so there is one runner more than processors. Each takes whole files, the long ones (kernel, labs)
# before the many short ones. When one of the runners dies, that is the end, and a failure.
test: lint mesos
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(PYTEST)

# The files that have tests which `make test` leaves out for their time.
LONG := $(shell grep -l OCICAT_LONG tests/*/test_*.py)
test-long: setup-dev mesos
	@OCICAT_LONG=1 $(BIN)/pytest $(LONG) $(PYTEST)

# Where no machine can be had it says so: that is neither passed nor failed.
test-kernels: setup-dev mesos
	@$(call debian,$(DEBIAN_KERNELS))
	@$(BIN)/python tests/kernels/every_kernel.py $(KERNELS); status=$$?; [ $$status = 77 ] || exit $$status

lint: setup-dev
	@$(BIN)/ruff check -q src tests bench packaging setup.py
	@$(BIN)/ruff format -q --check src tests bench packaging setup.py
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo | tail -n 2

bench: setup-dev mesos
	@$(call venv,-e . --group bench)
	@for script in bench/[!_]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# Random clusters and packets, asked of several models of policy, until one of them disagrees or the time is over.
fuzz: setup-dev
	@OCICAT_FUZZ_S=$${OCICAT_FUZZ_S:-600} $(BIN)/python tests/agreement/fuzz.py

shim: setup
	@$(BIN)/python -P -m ocicat.cni.install build/cni

# A deb, an rpm, a wheel and the sources, in dist/. For another interpreter than Debian 12's: TARGET_PYTHON=/usr/bin/python3.13
packages: setup
	@$(call venv,--group packaging)
	@$(BIN)/python packaging/build.py dist --python $(TARGET_PYTHON)

# The Apache Mesos 1.11.0 library, from PyPI; kept outside the checkout, so that a second clone has it too.
mesos: setup
	@$(BIN)/python -P -m ocicat.lab.mesos.library

setup: $(STATE)/run-$(shell sha256sum pyproject.toml Makefile | sha256sum | cut -c1-12)
setup-dev: $(STATE)/dev-$(shell sha256sum pyproject.toml Makefile | sha256sum | cut -c1-12)

$(STATE)/run-%:
	@$(call debian,$(DEBIAN_RUN))
	@$(call venv,-e .)
	@mkdir -p $(STATE) && touch $@

$(STATE)/dev-%: $(STATE)/run-%
	@$(call debian,$(DEBIAN_TEST))
	@$(call venv,-e . --group dev)
	@$(BIN)/python tests/system/aside_packages.py
	@mkdir -p $(STATE) && touch $@

# Installs only what is missing: dpkg answers in milliseconds, apt does not.
define debian
missing=$$(for package in $(1); do dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; done); \
if [ -n "$$missing" ]; then \
	echo "installing from Debian:" $$missing; \
	[ $$(id -u) = 0 ] || { echo "make: this needs root, or install them first: apt-get install" $$missing >&2; exit 1; }; \
	apt-get update -q=2 && DEBIAN_FRONTEND=noninteractive apt-get install -q=2 --no-install-recommends $$missing >/dev/null; \
fi
endef

define venv
echo "python environment: $(1)"; \
[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV); \
$(BIN)/python -m pip install -q --upgrade 'pip>=25.1' && $(BIN)/python -m pip install -q $(1)
endef

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
