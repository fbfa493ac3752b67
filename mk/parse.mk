.PHONY: test-dashboard
test-dashboard: all ## parse-dashboard from npm against Hob, in a browser (slow: large packages)
	@./tools/install-deps build run test
	@B=$(B) ./tests/run parse/dashboard.slow.mjs
