# The data plane alone: bench/data_plane.c takes the place of node, logs, vault and catalogue.
$(B)/bench/data_plane: bench/data_plane.c $(call libs,api) $(B)/lib/libllhttp.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LINK) -o $@ $< -Wl,--start-group $(call libs,api) $(B)/lib/libllhttp.a -Wl,--end-group $(LDLIBS)
