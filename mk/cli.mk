# The command line: templates built in, reference pages written from the tables, tests against a small server.
TEMPLATE_FILES := $(sort $(shell find runtimes/*/template -type f ! -name '*.pyc' 2>/dev/null) $(wildcard runtimes/c/hob.h))
$(B)/gen/templates.c: $(TEMPLATE_FILES) mk/embed.sh
	@mkdir -p $(@D)
	@./mk/embed.sh $(TEMPLATE_FILES) > $@.new && mv $@.new $@
$(B)/obj/gen/templates.o: $(B)/gen/templates.c cli/templates.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
$(call lib,cli): $(B)/obj/gen/templates.o

.PHONY: docs test-cli
docs: $(B)/bin/hob ## write docs/cli.md, docs/manifest.md and docs/limits.md from the tables
	@$(B)/bin/hob help --markdown > docs/cli.md
	@$(B)/bin/hob help manifest > docs/manifest.md
	@$(B)/bin/hob limits --markdown > docs/limits.md

test-cli: $(B)/bin/hob ## the command line against a small server of its own
	@HOB_BIN=$(abspath $(B)/bin) timeout -k 5 300 node --test tests/cli/
