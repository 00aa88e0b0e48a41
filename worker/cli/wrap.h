/*
 * wrap.h - texts that come from elsewhere, for a terminal: made harmless, and in lines of a width.
 */
#pragma once

#include "base/buf.h"

/*
 * Appends the next character of s, made harmless: control characters (C0, C1, DEL) and what is no
 * UTF-8 become a question mark. Returns its bytes. Not at the end.
 */
size_t wrap_character(struct buf *out, const char *s);
size_t wrap_width(const char *s); /* characters, as they are counted here */

/*
 * Appends the text as one paragraph and a line's end: blanks and line's ends become one blank each,
 * lines of at most width characters, of which those behind the first begin with indent blanks. at:
 * characters that stand in the first line already. width 0: one line.
 */
void wrap_text(struct buf *out, const char *text, size_t at, size_t indent, size_t width);
