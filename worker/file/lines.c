/*
 * lines.c - a text file line by line, in the window of its input: nothing is copied.
 *
 *   window: ... | first line \n | second li     <- the window grows until the end of the line is
 *                                                  there, or the line is too long
 *
 * A byte order mark (EF BB BF) is what PowerShell and Excel put at the start of a file, and, where
 * such files were joined, at the start of a line: it is no part of the text and is skipped there.
 *
 * Thread: the owner's. Failure: a line over the limit costs no memory beyond it.
 */
#include "file/lines.h"

#include <string.h>

static const char byte_order_mark[] = "\xef\xbb\xbf";

/*
 * Bytes up to the end of the line, its "\n" not counted; more than the limit when it is over it.
 * Asks for one byte more than there is, never for a number of them: from a pipe a line is to come
 * out when it is there. False: err.
 */
static bool find_end(struct lines *l, size_t *len, struct err *err)
{
	size_t seen = 0;
	for (;;) {
		const uint8_t *end = memchr(l->in->p + seen, '\n', input_has(l->in) - seen);
		seen = input_has(l->in);
		*len = end ? (size_t)(end - l->in->p) : seen;
		if (end || l->in->ended || seen > l->max)
			return true;
		if (!input_want(l->in, seen + 1, err))
			return false;
	}
}

/* Passes over the rest of a line that is too long. */
static bool skip_line(struct lines *l, struct err *err)
{
	for (;;) {
		const uint8_t *end = memchr(l->in->p, '\n', input_has(l->in));
		input_take(l->in, end ? (size_t)(end - l->in->p) + 1 : input_has(l->in));
		if (end || l->in->ended)
			return true;
		if (!input_want(l->in, 1, err))
			return false;
	}
}

/* A line that is too long is passed over and costs no memory. */
enum lines_result lines_next(struct lines *l, char **text, size_t *len, struct err *err)
{
	size_t mark = sizeof(byte_order_mark) - 1;
	if (!find_end(l, len, err))
		return LINES_BROKEN;
	if (*len == 0 && input_has(l->in) == 0)
		return LINES_END;
	l->number++;
	l->offset = l->in->offset;
	if (*len > l->max) {
		err_set(err, ERR_POISON, "the line is longer than %zu bytes", l->max);
		return skip_line(l, err) ? LINES_BAD : LINES_BROKEN;
	}
	*text = (char *)l->in->p;
	input_take(l->in, *len + (*len < input_has(l->in)));
	(*text)[*len] = '\0'; /* the "\n", or the pad behind the window */
	if (*len > 0 && (*text)[*len - 1] == '\r')
		(*text)[--*len] = '\0';
	if (*len >= mark && memcmp(*text, byte_order_mark, mark) == 0) {
		*text += mark;
		*len -= mark;
	}
	return LINES_LINE;
}
