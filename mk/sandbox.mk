# The sandbox room: the system call filter is made by a small program while building.
$(B)/gen/seccomp_gen: sandbox/seccomp_gen.c sandbox/seccomp_policy.h base/rules/syscalls.h $(call lib,base)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LINK) -o $@ $< $(call lib,base) -lseccomp
$(B)/gen/seccomp_code.h: $(B)/gen/seccomp_gen
	$< > $@.tmp
	mv $@.tmp $@
$(B)/obj/sandbox/seccomp.o: $(B)/gen/seccomp_code.h
$(B)/obj/sandbox/seccomp.o: CPPFLAGS += -I$(B)/gen

# Its tests start real sandboxes: a static probe as the function, a tiny first process, the launcher itself.
$(B)/tests/sandbox/probe $(B)/tests/sandbox/tiny_init: $(B)/tests/sandbox/%: tests/unit/sandbox/%.c
	@mkdir -p $(@D)
	$(MUSL_CC) -std=gnu11 -static -O2 -g -D_GNU_SOURCE -Wall -Wextra -idirafter /usr/include \
	  -idirafter /usr/include/$(shell $(CC) -print-multiarch) -o $@ $<
$(B)/tests/sandbox/test_seccomp: LDLIBS += -lseccomp
SANDBOX_TEST_NEEDS := $(B)/tests/sandbox/probe $(B)/tests/sandbox/tiny_init $(B)/bin/hob-launcher $(B)/bin/hob-init
$(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/sandbox/test_*.c)): | $(SANDBOX_TEST_NEEDS)
$(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/sandbox/test_*.c)): CPPFLAGS += -DBUILD_DIR='"$(abspath $(B))"'

# What is compiled into hob-launcher from this folder: neither comments, nor blank lines, nor includes; the rest of its code
# is base/.
LAUNCHER_SRC := $(filter-out sandbox/seccomp_gen.c sandbox/seccomp_policy.h,$(wildcard sandbox/*.[ch] sandbox/*/*.[ch]))
.PHONY: launcher-size
launcher-size: ## lines of code of the launcher, by file
	@for f in $(LAUNCHER_SRC); do \
	  echo "$$($(CC) -fpreprocessed -dD -E -P $$f 2>/dev/null | grep -v '^#include' | grep -c '[^[:space:]]') $$f"; \
	done | sort -rn | awk '{ print; all += $$1 } END { print all " all" }'
