# Hob: one readable, non-recursive Makefile. `make help` says what there is.
# Sources are found by wildcard per room; a room's library links against the rooms below it only.

VERSION := 0.1.0
B       ?= build
CC      ?= gcc
MUSL_CC ?= musl-gcc
PREFIX  ?= /usr/local
DESTDIR ?=

ROOMS := base manifest store controller api runner sandbox cli

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
LDLIBS   := -luv -ljansson -lsqlite3 -lsodium -lcurl -larchive -lpthread -lm

# --- rooms -------------------------------------------------------------------------------------------------------
# Mains live beside their room but not in its library; runner/init is a program of its own (static, musl).
MAINS       := runner/main.c sandbox/main.c cli/main.c
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
BELOW_controller := manifest store base
BELOW_api        := controller manifest store base
BELOW_runner     := base
BELOW_sandbox    := base
BELOW_cli        := manifest base
libs = $(call lib,$(1)) $(foreach r,$(BELOW_$(1)),$(call lib,$(r)))

BIN := $(addprefix $(B)/bin/,hobd hob hob-runner hob-launcher hob-init)

.PHONY: all
all: $(BIN)

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
$(B)/bin/hob-init: $(INIT_SRC) $(wildcard runner/init/*.h)
	@mkdir -p $(@D)
	$(MUSL_CC) -std=gnu11 -static -O2 -g -D_GNU_SOURCE -I. -Wall -Wextra -Wshadow -Wstrict-prototypes \
	  -fstack-protector-strong -fno-strict-aliasing -o $@ $(INIT_SRC)

include $(wildcard mk/*.mk)

# --- unit tests: one binary a module, tests/unit/<room>/test_x.c ----------------------------------------------------
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT_SRC))
define unit_rule # room
$(B)/tests/$(1)/test_%: tests/unit/$(1)/test_%.c $(wildcard tests/unit/*.h) $(call libs,$(1)) $(B)/lib/libllhttp.a
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) -Itests/unit $$(CFLAGS) $$(LINK) -o $$@ $$< -Wl,--start-group $(call libs,$(1)) $(B)/lib/libllhttp.a -Wl,--end-group $$(LDLIBS) -lcmocka
.PHONY: unit-$(1)
unit-$(1): $$(filter $(B)/tests/$(1)/%,$(UNIT_BIN))
	@for t in $$^; do timeout -k 5 120 $$$$t || exit 1; done
endef
$(foreach r,$(ROOMS),$(eval $(call unit_rule,$(r))))

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
