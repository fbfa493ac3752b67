# Fault sweeps: tests/fault/fault_NAME.c, in a build of their own in which fault points exist (base/fault.h).
FAULT_SRC := $(wildcard tests/fault/fault_*.c)
FAULT_BIN := $(patsubst tests/fault/%.c,$(B)/fault/%,$(FAULT_SRC))
$(B)/fault/fault_%: tests/fault/fault_%.c $(wildcard tests/unit/*.h tests/unit/*/*.h) $(call libs,controller) $(B)/lib/libllhttp.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) $(LINK) -o $@ $< -Wl,--start-group $(call libs,controller) -Wl,--end-group $(LDLIBS) -lcmocka

FAULT_B := $(B)/with-faults$(if $(FAULT_SAN),-sanitized)
.PHONY: fault faults-built again
faults-built: $(FAULT_BIN)
fault: ## sweep the fault points: fail, then kill, at each in turn (FAULT_SAN=address,undefined with sanitizers)
	@$(MAKE) --no-print-directory -s -j2 B=$(FAULT_B) SAN=$(FAULT_SAN) EXTRA_CPPFLAGS=-DHOB_FAULTS faults-built
	@for t in $(FAULT_BIN:$(B)/%=$(FAULT_B)/%); do echo "$$t"; timeout -k 5 600 $$t || exit 1; done
again: ## the backend's suites with every write job run twice, the first time taken back (5 minutes)
	@$(MAKE) --no-print-directory -s -j2 B=$(FAULT_B) EXTRA_CPPFLAGS=-DHOB_FAULTS all
	@HOB_FAULT_AT=store.again B=$(FAULT_B) ./tests/run $(filter-out parse/todo.test.mjs,$(patsubst tests/%,%,$(wildcard tests/parse/*.test.mjs tests/bindings/*.test.mjs)))
