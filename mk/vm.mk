# The sandbox under Debian's kernel with cgroup v2 alone, in an emulated machine (tools/vm): minutes, so not in `make test`.
.PHONY: test-vm
test-vm: ## the sandbox's tests under Debian's kernel with pure cgroup v2, in qemu
	@./tools/install-deps build run test vm
	@$(MAKE) --no-print-directory -s -j2 all $(filter $(B)/tests/sandbox/%,$(UNIT_BIN))
	@B=$(B) ./tools/vm 3000 B=$(B) tests/vm/suite.sh
	@B=$(B) ./tools/vm --systemd 3000 B=$(B) tests/vm/systemd.sh
