# The docker engine: the sandbox's system call policy as Docker's JSON, and what its tests stand on.
$(B)/gen/docker_seccomp: mk/docker_seccomp.c sandbox/seccomp_policy.h base/rules/syscalls.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LINK) -o $@ $<
$(B)/gen/docker_seccomp.h: $(B)/gen/docker_seccomp
	$< > $@.tmp
	mv $@.tmp $@
$(B)/obj/runner/docker/seccomp.o: $(B)/gen/docker_seccomp.h
$(B)/obj/runner/docker/seccomp.o: CPPFLAGS += -I$(B)/gen
