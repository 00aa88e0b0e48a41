# memingest: `make help` lists what there is.
SHELL := /bin/bash
VARIANT ?= release
B := build/$(VARIANT)
CC := gcc
MODULES := rdkafka libpq avro-c jansson libcurl libmicrohttpd inih libxxhash
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wswitch-enum -Wformat=2 -Wundef \
	-Wpointer-arith -Wno-missing-field-initializers
OPT_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan := -O1 -g -fsanitize=thread
VERSION := $(shell cat VERSION 2>/dev/null || echo 0.0.0)
CFLAGS += -std=gnu11 $(WARN) $(OPT_$(VARIANT)) -fPIE -Iworker -D_GNU_SOURCE -DMEMINGEST_VERSION='"$(VERSION)"' \
	$(shell pkg-config --cflags $(MODULES) 2>/dev/null)
LDFLAGS += $(OPT_$(VARIANT)) -pie -Wl,-z,relro,-z,now
LDLIBS += $(shell pkg-config --libs $(MODULES) 2>/dev/null) -lpthread -lm -ldl

LIB_SRC := $(filter-out worker/cli/main.c,$(wildcard worker/*/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
UNIT_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/unit/*.c))
SYSTEM_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/system/*.c))

.PHONY: all test unit system asan tsan lint format deps up down demo clean install help
all: $(B)/memingest

$(B)/memingest: $(B)/worker/cli/main.o $(B)/libmemingest.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/libmemingest.a: $(LIB_OBJ)
	rm -f $@ && ar rcs $@ $^
$(B)/unit: $(UNIT_OBJ) $(B)/libmemingest.a
	$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) $(LDLIBS)
$(B)/system: $(SYSTEM_OBJ) $(B)/libmemingest.a
	$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs check) $(LDLIBS)
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<
-include $(shell find $(B) -name '*.d' 2>/dev/null)
