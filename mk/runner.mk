$(B)/tests/controller/test_node $(B)/tests/controller/test_node_sandbox: tests/unit/controller/node_world.h
# What the runner's tests stand on: a launcher without isolation, and the real programs.
$(B)/tests/fake_launcher: tests/unit/runner/fake_launcher.c $(call lib,base)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LINK) -o $@ $< $(call lib,base) $(LDLIBS)
RUNNER_TEST_PROGRAMS := $(B)/tests/fake_launcher $(B)/bin/hob-runner $(B)/bin/hob-init $(B)/bin/hob-launcher
$(B)/tests/controller/test_node $(B)/tests/controller/test_node_sandbox $(B)/tests/runner/test_runner $(B)/tests/runner/test_init \
  $(B)/tests/runner/test_unpack: | $(RUNNER_TEST_PROGRAMS)
