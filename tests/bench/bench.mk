# The benchmark: make bench, make bench-quick, make bench-instructions, make bench-vectors. What they do stands in tests/bench/run, tests/bench/instructions
# and tests/bench/vectors.
BENCH := $(B)/bench
BENCH_SHARED := $(patsubst %,$(B)/tests/bench/%.o,events procfs) $(B)/libmemingest.a

.PHONY: bench bench-quick bench-instructions bench-vectors bench-programs
bench-programs: $(B)/memingest $(patsubst %,$(BENCH)/%,ceiling ceiling_file decode delay shuffle records)
$(BENCH)/%: $(B)/tests/bench/%.o $(BENCH_SHARED)
	@mkdir -p $(@D)
	@echo "LD $@"; $(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs avro-c) $(LDLIBS)
bench: bench-programs
	@tests/deps run
	@B=$(B) tests/bench/run
bench-quick: bench-programs
	@tests/deps run
	@B=$(B) tests/bench/run --quick
bench-instructions: bench-programs
	@B=$(B) tests/bench/instructions
bench-vectors: $(B)/memingest
	@tests/deps run
	@B=$(B) tests/bench/vectors
