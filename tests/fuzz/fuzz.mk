# make fuzz: each fuzzer for FUZZ_SECONDS, from tests/fuzz/corpus; what it finds on the way is kept in build/fuzz/corpus.
# A crash ends it and names the input, which "build/fuzz/fuzz_NAME FILE" repeats. FUZZ=NAME: that one alone.
# make fuzz-corpus: what was found, the least that reaches as many branches, into tests/fuzz/corpus.
# The unit tests replay the corpora (tests/unit/test_corpus.c).
FUZZERS := decode text frame schema json container key config records headers registry peek http gate
FUZZ ?= $(FUZZERS)
FUZZ_SECONDS ?= 60
FUZZ_CLANG ?= $(firstword $(foreach c,clang clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14,$(shell command -v $(c))))
# gcc decides about warnings: clang has others.
OPT_fuzz := -O1 -g -Wno-error -w -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_OBJ := $(patsubst %.c,$(B)/%.o,$(addprefix tests/unit/,oracle.c oracle_json.c random_avro.c random_data.c \
	text_reference.c same_rows.c)) $(B)/tests/fuzz/pairs.o
# Functions that a fuzzer takes the place of while it runs; test_reads.c does of read().
FUZZ_WRAP := -Wl,--wrap=http_client_run -Wl,--wrap=rd_kafka_message_headers
UNIT_WRAP := $(FUZZ_WRAP) -Wl,--wrap=read

.PHONY: fuzz fuzz-corpus fuzz-programs
fuzz-programs:
	@test -n "$(FUZZ_CLANG)" || { echo "make fuzz needs clang with libFuzzer: apt-get install clang" >&2; exit 1; }
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=fuzz B=build/fuzz CC=$(FUZZ_CLANG) $(FUZZ:%=build/fuzz/fuzz_%)
fuzz: fuzz-programs
	@set -e; for f in $(FUZZ); do \
		mkdir -p build/fuzz/corpus/$$f; \
		echo "fuzz_$$f: $(FUZZ_SECONDS) s, log in build/fuzz/$$f.log"; \
		dict=; [ ! -f tests/fuzz/$$f.dict ] || dict=-dict=tests/fuzz/$$f.dict; \
		nice -n 19 build/fuzz/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 $$dict \
			-print_final_stats=1 -artifact_prefix=build/fuzz/$$f- build/fuzz/corpus/$$f tests/fuzz/corpus/$$f \
			>build/fuzz/$$f.log 2>&1 || { tail -n 30 build/fuzz/$$f.log >&2; exit 1; }; \
		sed -n 's/^stat::number_of_executed_units: */  inputs: /p' build/fuzz/$$f.log; \
	done
fuzz-corpus: fuzz-programs
	@set -e; for f in $(FUZZ); do \
		mkdir -p build/fuzz/corpus/$$f; rm -rf build/fuzz/least && mkdir build/fuzz/least; \
		build/fuzz/fuzz_$$f -merge=1 -use_counters=0 build/fuzz/least tests/fuzz/corpus/$$f build/fuzz/corpus/$$f >build/fuzz/$$f.merge.log 2>&1; \
		find tests/fuzz/corpus/$$f -type f ! -name 'find-*' -delete; cp build/fuzz/least/* tests/fuzz/corpus/$$f/; \
		echo "$$f: $$(ls tests/fuzz/corpus/$$f | wc -l) files, $$(cat tests/fuzz/corpus/$$f/* | wc -c) bytes"; \
	done
$(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(FUZZ_OBJ) $(B)/libmemingest.a
	@echo "LD $@"; $(CC) $(LDFLAGS) -fsanitize=fuzzer $(FUZZ_WRAP) -o $@ $^ $(shell pkg-config --libs avro-c) $(LDLIBS)
.SECONDARY: $(FUZZERS:%=$(B)/tests/fuzz/fuzz_%.o)

# The same sources as parts of the unit tests.
FUZZ_REPLAY := $(FUZZERS:%=$(B)/tests/fuzz/replay_%.o)
$(B)/tests/fuzz/replay_%.o: tests/fuzz/fuzz_%.c
	@mkdir -p $(@D)
	@echo "CC $< (replay)"; $(CC) $(CFLAGS) -DLLVMFuzzerTestOneInput=fuzz_$* -DLLVMFuzzerInitialize=fuzz_$*_start \
		-MMD -MP -c -o $@ $<
$(B)/unit: $(FUZZ_REPLAY) $(B)/tests/fuzz/pairs.o

# make fuzz-copy: rows of random data through a real PostgreSQL and back. COPY_SEED=N: the run that a failure names.
COPY_SEED ?= $(shell date +%s)
COPY_ROUNDS ?= 300
.PHONY: fuzz-copy
fuzz-copy: $(B)/fuzz_copy
	@dir=$$(mktemp -d); trap 'tests/stack stop $$dir --rm' EXIT; tests/stack start $$dir >/dev/null; \
	eval "$$(tests/stack env $$dir)"; $(B)/fuzz_copy "$$ADMIN_DSN" $(COPY_SEED) $(COPY_ROUNDS)
$(B)/fuzz_copy: $(B)/tests/fuzz/copy.o $(FUZZ_OBJ) $(B)/libmemingest.a
	@echo "LD $@"; $(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs avro-c) $(LDLIBS)
