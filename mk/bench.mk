# Benches: ratios against peers or floors in one run; figures stand in docs/performance.md.
$(B)/bench/load: bench/load.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -o $@ $<
$(B)/bench/launch: bench/launch.c base/launch.h $(call lib,base)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -I. -o $@ $< $(call lib,base) $(LDLIBS)

bench: ## measure against peers and floors (about 5 minutes; BENCH_SECONDS, BENCH_ROUNDS)
	@./tools/install-deps build run bench
	@$(MAKE) --no-print-directory -s -j2 all $(B)/bench/load $(B)/bench/launch $(BENCH_EXTRA)
	@[ -d bench/node_modules ] || (cd bench && npm install --no-audit --no-fund --silent)
	@B=$(B) node bench/throughput.mjs
	@B=$(B) node bench/latency.mjs
	@B=$(B) node bench/starts.mjs

bench-scale: ## a step from 0 to 2,000 requests/s; side by side with workerd, a Node cluster and Docker (8 minutes)
	@./tools/install-deps build run bench
	@$(MAKE) --no-print-directory -s -j2 all $(B)/bench/load
	@[ -d bench/node_modules ] || (cd bench && npm install --no-audit --no-fund --silent)
	@B=$(B) node bench/step.mjs
	@B=$(B) node bench/side.mjs
.PHONY: bench-scale

bench-parse: ## the backend of apps beside Parse Server with PostgreSQL (about 4 minutes)
	@./tools/install-deps build run bench
	@$(MAKE) --no-print-directory -s -j2 all
	@B=$(B) node bench/parse.mjs
.PHONY: bench-parse
