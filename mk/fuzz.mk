# Fuzz targets: tests/fuzz/fuzz_NAME.c with corpus/NAME/ and NAME.dict beside it; libFuzzer, ASan, UBSan, by clang.
# `make fuzz FUZZ_SECONDS=600 FUZZ=http` runs one for ten minutes; new finds are kept in build/fuzz/found/.
FUZZ_SRC     := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ         ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
FUZZ_SECONDS ?= 60
FUZZ_LIBS     = $(foreach r,$(ROOMS),$(call lib,$(r))) $(B)/lib/libllhttp.a

$(B)/fuzzers/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_LIBS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	  -o $@ $< -Wl,--start-group $(FUZZ_LIBS) -Wl,--end-group $(LDLIBS)

.PHONY: fuzzers fuzz-run
fuzzers: $(addprefix $(B)/fuzzers/fuzz_,$(FUZZ))
fuzz-run: fuzzers
	@set -e; for name in $(FUZZ); do \
	  mkdir -p $(B)/found/$$name tests/fuzz/corpus/$$name; dict=; \
	  [ ! -e tests/fuzz/$$name.dict ] || dict=-dict=tests/fuzz/$$name.dict; \
	  echo "fuzzing $$name for $(FUZZ_SECONDS) s"; \
	  ASAN_OPTIONS=detect_leaks=1 $(B)/fuzzers/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
	    -artifact_prefix=$(B)/found/$$name/ -print_final_stats=1 $$dict $(B)/found/$$name tests/fuzz/corpus/$$name \
	    >$(B)/found/$$name.log 2>&1 || { tail -n 40 $(B)/found/$$name.log; exit 1; }; \
	  grep -E 'stat::number_of_executed_units' $(B)/found/$$name.log; \
	done

fuzz: ## fuzz every parser for FUZZ_SECONDS each (60)
	@./tools/install-deps build check
	@$(MAKE) --no-print-directory -s -j2 B=build/fuzz CC=clang SAN=fuzzer-no-link,address,undefined fuzz-run
