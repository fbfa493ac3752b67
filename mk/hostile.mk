# No rule of the system call filter without a reason: tests/seccomp takes each away in turn and looks who breaks.
$(B)/tests/seccomp/without: tests/seccomp/without.c $(call lib,base)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -Wstack-usage=%,$(CFLAGS)) $(LINK) -o $@ $< $(call lib,base) $(LDLIBS) -lseccomp
$(B)/tests/seccomp/corpus: tests/seccomp/corpus.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -o $@ $< -lpthread
$(B)/tests/seccomp/corpus_static: tests/seccomp/corpus.c
	@mkdir -p $(@D)
	$(MUSL_CC) -std=gnu11 -O1 -static -o $@ $<

.PHONY: test-seccomp
test-seccomp: $(addprefix $(B)/tests/seccomp/,without corpus corpus_static) ## take each allowed system call away in turn: something must break (2 minutes)
	@timeout -k 10 600 node tests/seccomp/redundant.mjs $(B)/tests/seccomp/without $(B)/tests/seccomp/corpus
