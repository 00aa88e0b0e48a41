/* lines.h - a text file line by line. */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "file/input.h"

/* One event has to fit; what is longer is hardly a line. */
#define LINES_MAX_BYTES ((size_t)64 * 1024 * 1024)

struct lines {
	struct input *in; /* borrowed */
	size_t max;       /* bytes of a line */
	uint64_t number;  /* of the line that was given last, from 1 */
	uint64_t offset;  /* of its first byte */
};

enum lines_result {
	LINES_LINE,
	LINES_END,
	LINES_BAD,    /* this line is too long: it was passed over, the next one can be read */
	LINES_BROKEN, /* nothing more can be read */
};

/*
 * text: without its end ("\n" or "\r\n") and without a byte order mark in front, followed by a NUL.
 * May be written to; valid until the next call. The last line may lack its end. Errors are the
 * input's, or class POISON.
 */
enum lines_result lines_next(struct lines *l, char **text, size_t *len, struct err *err);
