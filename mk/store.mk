# What the store can do on this machine: acknowledged writes a second with 1, 8, 64 and 256 asked at once.
$(B)/bench/store: bench/store.c $(call libs,store)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LINK) -o $@ $< $(call libs,store) $(LDLIBS)
.PHONY: bench-store
bench-store: $(B)/bench/store ## acknowledged writes a second of the store on this disk
	@dir=$$(mktemp -d) && $(B)/bench/store $$dir; rc=$$?; rm -rf $$dir; exit $$rc
