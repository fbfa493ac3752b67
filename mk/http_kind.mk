# kind http: the parts of hob-init that stand between the channel and a server, as a library for tests and fuzzing
# (hob-init itself is compiled whole, against musl), and what the suite http_kind runs on.
HTTP_KIND_OBJ := $(patsubst %.c,$(B)/obj/%.o,runner/init/http_answer.c runner/init/http_request.c runner/init/json_text.c)
$(B)/tests/runner/test_http_kind $(B)/tests/runner/test_gate: $(HTTP_KIND_OBJ)
$(B)/tests/runner/test_http_kind $(B)/tests/runner/test_gate: LDLIBS := $(HTTP_KIND_OBJ) $(call lib,base) $(LDLIBS)
$(B)/fuzzers/fuzz_http_answer $(B)/fuzzers/fuzz_http_asked: $(HTTP_KIND_OBJ)
$(B)/fuzzers/fuzz_http_answer $(B)/fuzzers/fuzz_http_asked: LDLIBS := $(HTTP_KIND_OBJ) $(call lib,base) $(LDLIBS)

# A small server in C, static: what examples/server and the suite deploy.
$(B)/examples/server: examples/server/server.c
	@mkdir -p $(@D)
	$(MUSL_CC) -std=gnu11 -static -O2 -Wall -Wextra -o $@ $<
TEST_EXTRA += $(B)/examples/server

.PHONY: test-http-kind
test-http-kind: all $(B)/examples/server ## servers as functions: Express, Fastify, Flask, C, and hostile ones
	@B=$(B) ./tests/run http_kind
