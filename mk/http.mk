# The HTTP server's parts: llhttp in strict mode, the floor it is measured against, its fuzz target.

# Debian's sources choose leniency at compile time.
$(LLHTTP_OBJ): mk/http.mk
$(LLHTTP_OBJ): HARD += -DLLHTTP_STRICT_MODE=1

$(B)/bench/gateway_floor: bench/gateway_floor.c $(B)/lib/libllhttp.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LINK) -o $@ $^ -luv

# The server stands on base alone.
HTTP_OBJ := $(call objects,$(wildcard api/server/*.c))
$(B)/bench/gateway_hello: bench/gateway_hello.c $(HTTP_OBJ) $(call lib,base) $(B)/lib/libllhttp.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LINK) -o $@ $^ $(LDLIBS)

.PHONY: bench-http
bench-http: $(B)/bench/gateway_floor $(B)/bench/gateway_hello ## the gateway alone beside its floor
	@$(MAKE) --no-print-directory -s -j2 all
	@B=$(B) node bench/floor.mjs
BENCH_EXTRA += $(B)/bench/gateway_floor $(B)/bench/gateway_hello
