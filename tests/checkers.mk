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

# ThreadSanitizer on workers that do all that a worker does: rebalances, outages, ends, the indexer. What it finds in our code
# ends the worker with 66, and the test with it; libraries that are not instrumented are left out (tests/tsan.supp).
TSAN_SUITES ?= flow group crash gateway
tsan-system: $(B)/system
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=tsan B=build/tsan build/tsan/memingest build/tsan/memingest-failing
	@TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp halt_on_error=1 second_deadlock_stack=1" \
	TEST_PROGRAM=$(CURDIR)/build/tsan/memingest CK_TIMEOUT_MULTIPLIER=10 $(B)/system $(TSAN_SUITES)

# No leak at the end of a worker (SIGTERM) or of any command, on a real stack: tests/leaks.
leaks:
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=asan B=build/asan build/asan/memingest
	@tests/leaks build/asan/memingest

# valgrind on the unit tests: reads of memory that was never written, which no sanitizer here sees. Without the suites that
# compare with other implementations over many random data; they run under the sanitizers.
VALGRIND_SKIP ?= oracle batch recode_rows embedding floats corpus generate
valgrind: $(B)/unit
	@for suite in $$($(B)/unit --list | grep -vxF "$$(printf '%s\n' $(VALGRIND_SKIP))"); do \
		MEMINGEST_TEST_VALGRIND=1 CK_FORK=no CK_TIMEOUT_MULTIPLIER=100 valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --suppressions=tests/valgrind.supp \
			$(B)/unit $$suite >build/valgrind.log 2>&1 || { cat build/valgrind.log; echo "valgrind: $$suite"; exit 1; }; \
	done; echo "valgrind: all suites but $(VALGRIND_SKIP)"
.PHONY: tsan-system leaks valgrind
