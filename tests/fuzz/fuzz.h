/*
 * fuzz.h - what the fuzzers share: how they are called, how they fail, bytes as a file.
 *
 * Each fuzz_NAME.c is a program of libFuzzer's (make fuzz), and a part of the unit tests, which
 * replay its corpus: there its two functions are called fuzz_NAME() and fuzz_NAME_start().
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "codec/text.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Something that has to hold does not. */
static inline _Noreturn void give_up(const char *what, const char *why)
{
	fprintf(stderr, "fuzzer: %s: %s\n", what, why);
	abort();
}

/* A file of the project, appended. */
static inline void fuzz_read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	int c;
	if (!f)
		give_up(path, "cannot be opened; run from the top of the tree");
	while ((c = fgetc(f)) != EOF)
		buf_u8(out, (uint8_t)c);
	fclose(f);
}

/* An error says what happened, as text: it becomes a dead letter's detail, or JSON. */
static inline void check_words(const struct err *err)
{
	struct slice text = {(const uint8_t *)err->text, strlen(err->text)};
	struct refusal why = {0};
	if (err->class == ERR_NONE || text.len == 0)
		give_up("an error without class or text", err->text);
	if (!text_check_utf8(text, &why))
		give_up("an error that is no text", why.text);
}

/* Bytes that can be opened by a path. */
struct fuzz_file {
	int fd;
	char path[40];
};

/* In memory; to be closed by its fd. */
static inline struct fuzz_file fuzz_file(const void *data, size_t size)
{
	struct fuzz_file f = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
	if (f.fd < 0 || (size > 0 && write(f.fd, data, size) != (ssize_t)size))
		give_up("memfd", "cannot be written");
	snprintf(f.path, sizeof(f.path), "/proc/self/fd/%d", f.fd);
	return f;
}
