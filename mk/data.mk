# What the objects of apps cost: the layouts that were weighed, and the engine through its pool (docs/data.md).
$(B)/bench/data_layout $(B)/bench/data_engine $(B)/bench/data_floor: $(B)/bench/data_%: bench/data_%.c $(call libs,store)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LINK) -o $@ $< $(call libs,store) $(LDLIBS)
.PHONY: bench-data
bench-data: $(B)/bench/data_layout $(B)/bench/data_engine $(B)/bench/data_floor ## four layouts of a million objects, the engine, batches beside a bare loop over SQLite (about 2 minutes; OBJECTS)
	@dir=$$(mktemp -d) && $(B)/bench/data_layout $$dir $(or $(OBJECTS),1000000) && $(B)/bench/data_engine $$dir 3 $(or $(OBJECTS),1000000) && \
	  $(B)/bench/data_floor $$dir 2 100000; \
	  rc=$$?; rm -rf $$dir; exit $$rc
