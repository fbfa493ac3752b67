# What the objects of apps cost: the engine through its pool, and the layouts that were weighed (docs/data.md).
$(B)/bench/data_%: bench/data_%.c $(call libs,store)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LINK) -o $@ $< $(call libs,store) $(LDLIBS)
