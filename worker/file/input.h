/*
 * input.h - the bytes of a file or of standard input, unpacked if they are gzip or zstd, through a
 * window.
 *
 *   input_want(in, n)   makes the next n bytes stand in the window, or as many as there are
 *   in->p .. in->end    the window: what is not yet taken. May be written to (a parser in place)
 *   input_take(in, n)   moves past n bytes of it
 *
 * Offsets count unpacked bytes.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

/* Zero bytes that may be read, and written, behind the window. */
#define INPUT_PAD 32u

struct input {
	uint8_t *p, *end;
	uint64_t offset; /* of p */
	bool ended;      /* nothing comes behind end */
	const char *name;
	struct input_parts *parts;
};

/*
 * path: "-" is standard input. False with class CONFIG when it cannot be opened or is a directory,
 * POISON when it begins as a format that is not read. Errors begin with the name. The window has
 * the first four bytes, if there are so many.
 */
MUST_CHECK bool input_open(struct input *in, const char *path, struct err *err);
/* Of bytes that are here already, and are not packed; they are copied. */
void input_open_bytes(struct input *in, const char *name, struct slice bytes);
void input_close(struct input *in); /* also after a failure */

/*
 * n: at least 1. Fewer bytes than n in the window: the file ends there. False: class POISON when
 * packed data is damaged, CONFIG when the system cannot read, RETRY when a signal came in between;
 * the text is without the name.
 */
MUST_CHECK bool input_want(struct input *in, size_t n, struct err *err);

/* Bytes of the file as it is stored that were read. */
uint64_t input_read(const struct input *in);
/* A pipe that says nothing now: more than the window has could take any time. */
bool input_waits(const struct input *in);

/* Bytes in the window. */
static inline size_t input_has(const struct input *in)
{
	return (size_t)(in->end - in->p);
}

/* The caller is done with n bytes. */
static inline void input_take(struct input *in, size_t n)
{
	in->p += n;
	in->offset += n;
}
