# What looks for faults in a running program: failing calls, sanitizers, valgrind.

# The nth allocation, read, send ... of a process fails: tests/nth/nth.c. The suite "nth" of the system tests uses it;
# make nth: the same with NTH_ROUNDS failures of each kind, from NTH_SEED.
NTH_ROUNDS ?= 40
NTH_SEED ?= $(shell date +%s)
$(B)/nth.so: tests/nth/nth.c
	@mkdir -p $(@D)
	@echo "LD $@"; $(CC) -std=gnu11 $(WARN) -Wno-missing-prototypes -O2 -g -fPIC -shared -o $@ $< -ldl
$(B)/system: | $(B)/nth.so
.PHONY: nth
nth: all $(B)/system
	@echo "NTH_SEED=$(NTH_SEED) NTH_ROUNDS=$(NTH_ROUNDS)"; \
	NTH_SEED=$(NTH_SEED) NTH_ROUNDS=$(NTH_ROUNDS) CK_TIMEOUT_MULTIPLIER=100 $(B)/system nth
