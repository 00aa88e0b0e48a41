# make chaos: faults by a seed against a real stack, then the accounts; docs/RELIABILITY.md.
# CHAOS_MINUTES=5 CHAOS_SEED=... (random) CHAOS_RDKAFKA=new CHAOS_DATABASE=sqlite CHAOS_FAULTS=name,name|list CHAOS_TAMPER=ledger|table|books|dead
CHAOS_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/chaos/*.c)) \
	$(filter-out $(B)/tests/system/main.o $(B)/tests/system/test_%.o,$(SYSTEM_OBJ))
$(CHAOS_OBJ): CFLAGS += -Itests/system
.PHONY: chaos
chaos:
	@tests/deps run
	@$(MAKE) --no-print-directory -j$(JOBS) all $(B)/chaos
	@CHAOS_MINUTES='$(CHAOS_MINUTES)' CHAOS_SEED='$(CHAOS_SEED)' CHAOS_RDKAFKA='$(CHAOS_RDKAFKA)' CHAOS_DATABASE='$(CHAOS_DATABASE)' CHAOS_FAULTS='$(CHAOS_FAULTS)' \
		CHAOS_TAMPER='$(CHAOS_TAMPER)' $(B)/chaos
# For workers whose clock jumps: no part of the program.
$(B)/clock.so: tests/chaos/preload/clock.c
	@mkdir -p $(@D)
	@echo "LD $@"; $(CC) $(CFLAGS) -fPIC -shared -o $@ $<
$(B)/chaos: $(CHAOS_OBJ) $(B)/libmemingest.a | $(B)/clock.so
	@echo "LD $@"; $(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs $(TEST_MODULES)) $(LDLIBS)
