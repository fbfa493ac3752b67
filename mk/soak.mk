# The soak: mixed load and random kills for half an hour, then a count of what is left. SOAK_MINUTES=3 for a short one.
.PHONY: soak
soak: ## mixed load, kills, deploys for SOAK_MINUTES (30): flat memory, nothing left, every request answered once
	@./tools/install-deps build run test
	@$(MAKE) --no-print-directory -s -j2 all
	@B=$(B) nice -n 10 node tests/soak/soak.mjs
