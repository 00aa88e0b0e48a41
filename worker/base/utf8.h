/* utf8.h - a character of UTF-8 in short texts: lines of the log, errors. codec/text.h has long
 * ones. */
#pragma once

#include "base/base.h"

/*
 * Length of the valid UTF-8 sequence at s, which a NUL ends; 0 if there is none (overlong,
 * surrogate, above U+10FFFF: RFC 3629).
 */
static inline size_t utf8_sequence(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	unsigned low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
	unsigned high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}
