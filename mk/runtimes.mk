# The runtimes are used from the tree as they are; only Python's modules are compiled ahead and put into one file, because an instance
# sees them read-only and would compile them at every start, and Node's are put into one file, because reading them one by one
# costs more than the rest of a start. By hash of the source: copies keep their times or not.
PYTHON ?= /usr/bin/python3
PYTHON_SRC := $(wildcard runtimes/python/_hob/*.py)
$(B)/runtimes-python: $(PYTHON_SRC) mk/bundle_python.py
	@mkdir -p $(@D)
	@! [ -x $(PYTHON) ] || $(PYTHON) -m compileall -q -f --invalidation-mode checked-hash runtimes/python/_hob
	@! [ -x $(PYTHON) ] || $(PYTHON) -OO -X no_debug_ranges mk/bundle_python.py runtimes/python/_hob runtimes/python/_hob.bundle
	@touch $@
all: $(B)/runtimes-python
NODE ?= /usr/bin/node
runtimes/node/adapter.cjs: $(filter-out runtimes/node/warm.mjs,$(wildcard runtimes/node/*.mjs)) mk/bundle_node.mjs
	@if [ -x $(NODE) ]; then $(NODE) mk/bundle_node.mjs runtimes/node/adapter.mjs $@; \
	 else echo "import('./adapter.mjs');" > $@; fi
all: runtimes/node/adapter.cjs
# what only functions with bindings load
runtimes/node/bindings.cjs: $(wildcard runtimes/node/bindings/*.mjs) mk/bundle_node.mjs
	@if [ -x $(NODE) ]; then $(NODE) mk/bundle_node.mjs runtimes/node/bindings/index.mjs $@.new --module && mv $@.new $@; fi
all: runtimes/node/bindings.cjs

.PHONY: test-runtimes measure-runtimes
test-runtimes: runtimes/node/adapter.cjs runtimes/node/bindings.cjs ## the adapters over real frames (node, python, c, php)
	@timeout -k 5 300 node --test tests/runtimes/
measure-runtimes: runtimes/node/adapter.cjs ## CPU of an instance per invocation, and the adapters' cold starts
	@timeout -k 5 300 node tests/runtimes/measure.mjs
