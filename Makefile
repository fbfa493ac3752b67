# Hob: one readable, non-recursive Makefile. `make help` says what there is.
# Sources are found by wildcard per room; a room's library links against the rooms below it only.

VERSION := 0.1.0
B       ?= build
CC      ?= gcc
MUSL_CC ?= musl-gcc
PREFIX  ?= /usr/local
DESTDIR ?=

ROOMS := base manifest store bindings controller api runner sandbox cli

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wformat=2 -Wundef -Wvla -Wcast-qual \
        -Wcast-align=strict -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wredundant-decls -Wnull-dereference -Wimplicit-fallthrough=5 -Wswitch-enum -Wlogical-op -Wduplicated-cond \
        -Wduplicated-branches -Walloca -Wstack-usage=16384
HARD := -O2 -g -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fcf-protection=full \
        -ftrivial-auto-var-init=zero -fno-strict-aliasing -fno-strict-overflow -fno-delete-null-pointer-checks \
        -fno-common -fvisibility=hidden -fPIE
LINK := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
# SAN replaces hardening in the sanitizer builds: make asan, make tsan
ifneq ($(SAN),)
HARD := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-common -fPIE
LINK := -pie -fsanitize=$(SAN)
WARN := -Wall -Wextra
endif
ifneq ($(CI)$(WERROR),)
WARN += -Werror
endif
# C_INCLUDES: Debian ships llhttp as sources to be compiled in (package node-llhttp)
CPPFLAGS += -D_GNU_SOURCE -I. -isystem /usr/share/include -isystem /usr/share/include/llhttp -DHOB_VERSION='"$(VERSION)"' $(EXTRA_CPPFLAGS)
CFLAGS   := -std=gnu11 $(HARD) $(WARN) $(EXTRA_CFLAGS)
LDLIBS   := -luv -ljansson -lsqlite3 -lsodium -lcurl -larchive -lpcre2-8 -lcjose -lcrypt -lcrypto -lpthread -lm

# --- rooms -------------------------------------------------------------------------------------------------------
# Mains live beside their room but not in its library; runner/init is a program of its own (static, musl).
MAINS       := runner/main.c sandbox/main.c sandbox/seccomp_gen.c cli/main.c
sources      = $(filter-out $(MAINS) runner/init/%,$(wildcard $(1)/*.c $(1)/*/*.c))
objects      = $(patsubst %.c,$(B)/obj/%.o,$(1))
lib          = $(B)/lib/lib$(1).a
$(foreach r,$(ROOMS),$(eval SRC_$(r) := $(call sources,$(r))))
DAEMON_SRC  := $(wildcard daemon/*.c)
INIT_SRC    := $(wildcard runner/init/*.c)

# what each room stands on, nearest first (the include law of docs/architecture.md)
BELOW_base       :=
BELOW_manifest   := base
BELOW_store      := base
BELOW_bindings   := store base
BELOW_controller := bindings manifest store base
BELOW_api        := controller bindings manifest store base
BELOW_runner     := base
BELOW_sandbox    := base
BELOW_cli        := manifest base
libs = $(call lib,$(1)) $(foreach r,$(BELOW_$(1)),$(call lib,$(r)))

BIN := $(addprefix $(B)/bin/,hobd hob hob-runner hob-launcher hob-init)

.PHONY: all
all: $(BIN) ## build everything

LLHTTP_OBJ := $(B)/obj/llhttp/api.o $(B)/obj/llhttp/http.o $(B)/obj/llhttp/llhttp.o
$(B)/obj/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(HARD) -w -I/usr/share/include/llhttp -c $< -o $@
$(B)/lib/libllhttp.a: $(LLHTTP_OBJ)

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(foreach r,$(ROOMS),$(eval $(call lib,$(r)): $(call objects,$(SRC_$(r)))))
$(B)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^

define program # name, main objects, libraries
$(B)/bin/$(1): $(2) $(3)
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) $$(LINK) -o $$@ $(2) -Wl,--start-group $(3) -Wl,--end-group $$(LDLIBS)
endef
$(eval $(call program,hobd,$(call objects,$(DAEMON_SRC)),$(call libs,api) $(B)/lib/libllhttp.a))
$(eval $(call program,hob,$(B)/obj/cli/main.o,$(call libs,cli)))
$(eval $(call program,hob-runner,$(B)/obj/runner/main.o,$(call libs,runner)))
$(eval $(call program,hob-launcher,$(B)/obj/sandbox/main.o,$(call libs,sandbox)))

# pid 1 of every instance: static and without glibc's start-up cost (SANDBOX notes in docs/sandbox.md)
INIT_BASE := $(addprefix base/,buf.c clock.c env.c err.c frame.c log.c mem.c pairs.c str.c)
$(B)/bin/hob-init: $(INIT_SRC) $(INIT_BASE) $(wildcard runner/init/*.h base/*.h)
	@mkdir -p $(@D)
	$(MUSL_CC) -std=gnu11 -static -O2 -g -D_GNU_SOURCE -I. -Wall -Wextra -Wshadow -Wstrict-prototypes \
	  -ffunction-sections -fdata-sections -Wl,--gc-sections \
	  -fstack-protector-strong -fno-strict-aliasing -o $@ $(INIT_SRC) $(INIT_BASE)

include $(wildcard mk/*.mk)

# --- unit tests: one binary a module, tests/unit/<room>/test_x.c ----------------------------------------------------
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT_SRC))
define unit_rule # room
$(B)/tests/$(1)/test_%: tests/unit/$(1)/test_%.c $(wildcard tests/unit/*.h) $(call libs,$(1)) $(B)/lib/libllhttp.a
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) -Itests/unit $$(filter-out -Wstack-usage=%,$$(CFLAGS)) -MMD -MP -MF $$@.d $$(LINK) -o $$@ $$< -Wl,--start-group $(call libs,$(1)) $(B)/lib/libllhttp.a -Wl,--end-group $$(LDLIBS) -lcmocka
.PHONY: unit-$(1)
unit-$(1): $$(filter $(B)/tests/$(1)/%,$(UNIT_BIN))
	@for t in $$^; do timeout -k 5 120 $$$$t || exit 1; done
endef
$(foreach r,$(ROOMS),$(eval $(call unit_rule,$(r))))

# --- what people type -------------------------------------------------------------------------------------------------
TEST_SUITES ?= tidy/tidy.sh unit runtimes cli raw e2e http_kind fault hostile egress docker parse bindings

.PHONY: run test check format tidy asan tsan fault fuzz bench install help clean deps
run: ## install what is missing, build, start Hob with an example deployed
	@./tools/install-deps build run
	@$(MAKE) --no-print-directory -s -j2 all
	@B=$(B) ./tools/run

test: ## install what tests need and run the whole quick suite
	@./tools/install-deps build run test
	@$(MAKE) --no-print-directory -s -j2 all tests-built
	@B=$(B) UNIT="$(UNIT_BIN)" ./tests/run $(TEST_SUITES)

.PHONY: tests-built
tests-built: $(UNIT_BIN) $(TEST_EXTRA)

FORMATTED = $(shell git ls-files '*.c' '*.h')
format: ## write every C file as .clang-format says
	@clang-format -i $(FORMATTED)

check: test ## test, and format, clang-tidy, cppcheck, sanitizers
	@./tools/install-deps check
	@clang-format --dry-run --Werror $(FORMATTED) && echo "format: clean"
	@$(MAKE) --no-print-directory tidy
	@$(MAKE) --no-print-directory asan

TIDY_SRC = $(foreach r,$(ROOMS),$(SRC_$(r))) $(DAEMON_SRC) $(MAINS)
tidy: ## clang-tidy and cppcheck over the product's sources
	@clang-tidy --quiet $(TIDY_SRC) -- $(CPPFLAGS) -I$(B)/gen -std=gnu11 2>/dev/null | tee $(B)/tidy.log | grep -E 'warning:|error:' && exit 1 || echo "clang-tidy: clean"
	@cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --suppressions-list=tools/cppcheck.suppress \
	  --error-exitcode=1 -D_GNU_SOURCE -DHOB_VERSION='""' -I. $(TIDY_SRC) && echo "cppcheck: clean"

asan: ## the unit tests, and the daemon's suites, under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory -s -j2 B=build/asan SAN=address,undefined all tests-built
	@B=build/asan UNIT="$(patsubst $(B)/%,build/asan/%,$(UNIT_BIN))" UNIT_TIMEOUT=600 NODE_TIMEOUT=900 HOB_BIN=build/asan/bin \
	  ASAN_OPTIONS=quarantine_size_mb=32:$$ASAN_OPTIONS ./tests/run unit $(ASAN_SUITES)
ASAN_SUITES ?= e2e hostile

tsan: ## the threaded unit tests under ThreadSanitizer
	@$(MAKE) --no-print-directory -s -j2 B=build/tsan SAN=thread tests-built
	@B=build/tsan UNIT="$(patsubst $(B)/%,build/tsan/%,$(filter $(B)/tests/store/% $(B)/tests/controller/%,$(UNIT_BIN)))" UNIT_TIMEOUT=600 ./tests/run unit

install: all ## into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/hob $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/doc/hob
	install -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin
	cp -R --no-preserve=ownership runtimes $(DESTDIR)$(PREFIX)/lib/hob/
	find $(DESTDIR)$(PREFIX)/lib/hob/runtimes -name __pycache__ -prune -exec rm -rf {} +
	install -m 644 runtimes/c/hob.h $(DESTDIR)$(PREFIX)/include/hob.h
	cp -R --no-preserve=ownership docs README.md $(DESTDIR)$(PREFIX)/share/doc/hob/

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile mk/*.mk | expand -t 24

clean: ## remove what was built
	rm -rf build

-include $(shell find $(B)/obj $(B)/tests -name '*.d' 2>/dev/null)
