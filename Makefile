# memingest: `make help` lists what there is.
SHELL := /bin/bash
VARIANT ?= release
B := build/$(VARIANT)
CC := gcc
MODULES := rdkafka libpq jansson libcurl libmicrohttpd libxxhash libcrypto zlib libzstd liblzma sqlite3
TEST_MODULES := check avro-c
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wswitch-enum -Wformat=2 -Wundef \
	-Wpointer-arith -Wno-missing-field-initializers
# Where a call or a return may land, where the processor can tell (CET, BTI). tests/lint hardened looks at what came of all this.
BRANCHES_x86_64 := -fcf-protection
BRANCHES_aarch64 := -mbranch-protection=standard
OPT_release := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection $(BRANCHES_$(shell uname -m))
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan := -O1 -g -fsanitize=thread
MORE_tsan := build/tsan/tests/c11threads.o
VERSION := $(shell cat VERSION 2>/dev/null || echo 0.0.0)
CFLAGS += -std=gnu11 $(WARN) $(OPT_$(VARIANT)) -fPIE -Iworker -D_GNU_SOURCE -DMEMINGEST_VERSION='"$(VERSION)"' \
	$(shell pkg-config --cflags $(MODULES) 2>/dev/null)
LDFLAGS += $(OPT_$(VARIANT)) -pie -Wl,-z,relro,-z,now,-z,noexecstack
# snappy and bzip2 do not have a pkg-config file everywhere.
LDLIBS += $(shell pkg-config --libs $(MODULES) 2>/dev/null) -lsnappy -lbz2 -lpthread -lm -ldl

LIB_SRC := $(filter-out worker/cli/main.c,$(wildcard worker/*/*.c))
SQL_OBJ := $(patsubst %.sql,$(B)/%.o,$(wildcard worker/sql/*.sql))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o) $(SQL_OBJ)
UNIT_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/unit/*.c))
SYSTEM_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/system/*.c))

# The same with fail-points (worker/base/failpoint.h): only files that have any are compiled again.
FAILING_OBJ := $(patsubst %.c,$(B)/failing/%.o,$(shell grep -l 'FAIL_POINT' worker/*/*.c))

.PHONY: all test unit system system-new failpoints mutants test-clients asan tsan docs lint format deps up down demo clean install help
all: $(B)/memingest

$(B)/memingest: $(B)/worker/cli/main.o $(MORE_$(VARIANT)) $(B)/libmemingest.a
	@echo "LD $@"; $(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/libmemingest.a: $(LIB_OBJ)
	@echo "AR $@"; rm -f $@ && ar rcs $@ $^
$(B)/memingest-failing: $(B)/worker/cli/main.o $(FAILING_OBJ) $(B)/libmemingest.a
	@echo "LD $@"; $(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/unit: $(UNIT_OBJ) $(MORE_$(VARIANT)) $(B)/libmemingest.a
	@echo "LD $@"; $(CC) $(LDFLAGS) $(UNIT_WRAP) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(shell pkg-config --libs $(TEST_MODULES)) $(LDLIBS)
$(B)/system: $(SYSTEM_OBJ) $(B)/libmemingest.a | $(B)/memingest-failing
	@echo "LD $@"; $(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs $(TEST_MODULES)) $(LDLIBS)
$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "CC $<"; $(CC) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/failing/%.o: %.c
	@mkdir -p $(@D)
	@echo "CC $< (failing)"; $(CC) $(CFLAGS) -DFAIL_POINTS -MMD -MP -c -o $@ $<
# Set-up, trying things out, tests
JOBS ?= 2
# Test programs at a time: the system tests mostly wait.
TEST_JOBS ?= 4
PREFIX ?= /usr/local
DEV := $${XDG_STATE_HOME:-$$HOME/.local/state}/memingest/dev
deps:
	@tests/deps
up:
	@tests/deps run && $(MAKE) --no-print-directory all
	@tests/stack start "$(DEV)" memory.events:6 pattern.events:3 trajectory.events:6 household.events:2
	@mkdir -p build/dev && tests/stack config "$(DEV)" | sed "s|= schemas/|= $(CURDIR)/schemas/|" >build/dev/memingest.ini
	@tests/stack household "$(DEV)" http://127.0.0.1:8090/v1 | sed "s|= tests/|= $(CURDIR)/tests/|" >build/dev/household.ini
	@tests/stack status "$(DEV)"
	@tests/stack hints "$(DEV)"
	@echo
	@echo "Next:  export MEMINGEST_CONFIG=$(CURDIR)/build/dev/memingest.ini"
	@echo "       $(B)/memingest migrate && $(B)/memingest check --online"
	@echo "       $(B)/memingest produce memory --count 10000 && $(B)/memingest run"
	@echo "       make down removes it all"
down:
	@tests/stack stop "$(DEV)" --rm
demo:
	@tests/deps run
	@echo "the model of the demo: in the cache, or fetched now (some 100 MB with its Python packages)"
	@PIP_RETRIES=1 PIP_DEFAULT_TIMEOUT=10 tests/embedding_server.py --fetch 2>/dev/null || true # the demo says what it lacks
	@B=$(B) tests/demo
test:
	@tests/deps run
	@$(MAKE) --no-print-directory -j$(JOBS) all $(B)/unit $(B)/system $(B)/chaos
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=asan B=build/asan build/asan/unit
	@B=$(B) tests/lint layers banned size mutants docs hardened sbom
	@monitoring/check
	@B=$(B) JOBS=$(TEST_JOBS) tests/run unit chaos asan clients readme system system-new
unit: $(B)/unit
	@B=$(B) tests/run unit
system: all $(B)/system
	@B=$(B) JOBS=$(JOBS) tests/run system
# On the newest packaged librdkafka, of which make test runs what hangs on the client.
system-new: all $(B)/system
	@B=$(B) JOBS=$(JOBS) tests/run new-all
# Every fail-point with every action, in each round at another passing (a round of make test: under a minute).
FAILPOINT_ROUNDS ?= 20
failpoints: all $(B)/system
	@FAILPOINT_ROUNDS=$(FAILPOINT_ROUNDS) B=$(B) tests/run failpoints
# Wrong builds, each of which a check has to catch (tests/mutants/run).
mutants: all $(B)/unit $(B)/system
	@B=$(B) JOBS=$(JOBS) tests/mutants/run $(MUTANTS)
test-clients: all
	@B=$(B) tests/clients
asan:
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=asan B=build/asan build/asan/unit
	@tests/run asan
tsan:
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=tsan B=build/tsan build/tsan/unit
	@CK_FORK=no build/tsan/unit
docs: all
	$(B)/memingest config docs >docs/CONFIG.md
	$(B)/memingest config metrics >docs/METRICS.md
	$(B)/memingest gateway --openapi >docs/openapi.yaml
lint: all
	@B=$(B) tests/lint
format:
	clang-format -i $$(git ls-files -co --exclude-standard '*.[ch]')
install: all
	install -D -m 755 $(B)/memingest "$(DESTDIR)$(PREFIX)/bin/memingest"
	cd "$(DESTDIR)$(PREFIX)" && install -d share/memingest share/man/man1 share/man/man5 share/bash-completion/completions
	cp -r schemas "$(DESTDIR)$(PREFIX)/share/memingest/"
	$(B)/memingest manual program >"$(DESTDIR)$(PREFIX)/share/man/man1/memingest.1"
	$(B)/memingest manual settings >"$(DESTDIR)$(PREFIX)/share/man/man5/memingest.ini.5"
	$(B)/memingest manual completion >"$(DESTDIR)$(PREFIX)/share/bash-completion/completions/memingest"
clean:
	rm -rf build
help:
	@echo "make          the program: $(B)/memingest"
	@echo "make demo     20,000 events of each stream from a real Kafka into a real PostgreSQL, what came of them, and questions to a real model"
	@echo "make test     unit tests (also under sanitizers), system tests on a real broker and database, quick lint"
	@echo "make chaos    five minutes of faults against a real stack, then the accounts (CHAOS_SEED= repeats a run: docs/RELIABILITY.md)"
	@echo "make test-clients   the producers of docs/CLIENTS.md and docs/GATEWAY.md as they stand (make test: those by HTTP and Python's)"
	@echo "make up/down  a broker and a database to try things on"
	@echo "make system-new   all system tests with workers on the newest packaged librdkafka (make test: those that hang on the client)"
	@echo "make failpoints   kills, stops, errors at each place where an event could be lost, FAILPOINT_ROUNDS=20 times"
	@echo "make mutants      wrong builds, each of which a check has to catch (MUTANTS=NAME for one)"
	@echo "make bench bench-quick bench-instructions   measure"
	@echo "make bench-vectors   the vector search beside plain pgvector, on real text vectors (VECTORS_ROWS=1000000: see tests/bench/vectors -h)"
	@echo "make monitoring check-monitoring monitoring-proof   rules, dashboards, and their proof on a real stack"
	@echo "make check-deploy check-cluster image image-test deb deb-test sbom   chart, overlays, image, package, bill of materials"
	@echo "make fuzz fuzz-corpus fuzz-copy   fuzzers for FUZZ_SECONDS each; their corpora; rows through a real PostgreSQL and back (tests/fuzz)"
	@echo "make nth leaks tsan-system valgrind   failing calls, leaks, races, memory never written (tests/checkers.mk)"
	@echo "make deps docs lint format unit system asan tsan install clean"
# worker/sql/NAME.sql becomes the string sql_NAME.
$(B)/%.o: %.sql
	@mkdir -p $(@D)
	@echo "SQL $<"; awk -v n=$(*F) 'BEGIN { print "extern const char sql_" n "[]; const char sql_" n "[] =" } \
		{ gsub(/["\\]/, "\\\\&"); print "\"" $$0 "\\n\"" } END { print ";" }' $< | $(CC) $(CFLAGS) -x c -c -o $@ -
include tests/bench/bench.mk tests/chaos/chaos.mk tests/fuzz/fuzz.mk tests/checkers.mk deploy/deploy.mk monitoring/monitoring.mk
-include $(shell find $(B) -name '*.d' 2>/dev/null)
