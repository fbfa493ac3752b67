# The runtimes are used from the tree as they are; only Python's modules are compiled ahead, because an instance sees
# them read-only and would compile them at every start. By hash of the source: copies keep their times or not.
PYTHON ?= /usr/bin/python3
PYTHON_SRC := $(wildcard runtimes/python/_hob/*.py)
$(B)/runtimes-python: $(PYTHON_SRC)
	@mkdir -p $(@D)
	@! [ -x $(PYTHON) ] || $(PYTHON) -m compileall -q -f --invalidation-mode checked-hash runtimes/python/_hob
	@touch $@
all: $(B)/runtimes-python

.PHONY: test-runtimes measure-runtimes
test-runtimes: ## the adapters over real frames (node, python, c, php)
	@timeout -k 5 300 node --test tests/runtimes/
measure-runtimes: ## CPU of an instance per invocation, and the adapters' cold starts
	@timeout -k 5 300 node tests/runtimes/measure.mjs
