# make fuzz: each fuzzer for FUZZ_SECONDS, from tests/fuzz/corpus; what it finds on the way is kept in build/fuzz/corpus.
# A crash ends it and names the input, which "build/fuzz/fuzz_NAME FILE" repeats.
FUZZERS := decode text frame schema
FUZZ_SECONDS ?= 60
FUZZ_CLANG ?= $(firstword $(foreach c,clang clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14,$(shell command -v $(c))))
OPT_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard worker/base/*.c worker/schema/*.c worker/codec/*.c) \
	$(addprefix tests/unit/,oracle.c oracle_json.c random_avro.c random_data.c text_reference.c))

.PHONY: fuzz
fuzz:
	@test -n "$(FUZZ_CLANG)" || { echo "make fuzz needs clang with libFuzzer: apt-get install clang" >&2; exit 1; }
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=fuzz B=build/fuzz CC=$(FUZZ_CLANG) $(FUZZERS:%=build/fuzz/fuzz_%)
	@set -e; for f in $(FUZZERS); do \
		mkdir -p build/fuzz/corpus/$$f; \
		echo "fuzz_$$f: $(FUZZ_SECONDS) s, log in build/fuzz/$$f.log"; \
		nice -n 10 build/fuzz/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
			-print_final_stats=1 -artifact_prefix=build/fuzz/$$f- build/fuzz/corpus/$$f tests/fuzz/corpus/$$f \
			>build/fuzz/$$f.log 2>&1 || { tail -n 30 build/fuzz/$$f.log >&2; exit 1; }; \
		sed -n 's/^stat::number_of_executed_units: */  inputs: /p' build/fuzz/$$f.log; \
	done
$(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(FUZZ_OBJ)
	@echo "LD $@"; $(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)
.SECONDARY: $(FUZZERS:%=$(B)/tests/fuzz/fuzz_%.o)
