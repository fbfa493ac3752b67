# The guards behind the autoscaler's promises, each taken away once: its test must fail. Minutes, so not in `make test`.
.PHONY: mutants
mutants: $(filter $(B)/lib/%,$(call libs,controller)) $(B)/lib/libllhttp.a ## take each guard of A1 to A8 away and see its test fail (3 minutes)
	@B=$(B) node tests/mutants/run.mjs
