/* url.h - pieces of a request's target: segments of its path, parameters of its query. */
#pragma once

#include "base/base.h"

/*
 * Decodes %XX in place; with plus, "+" is a blank, as forms have it. Returns the new length, which
 * a NUL ends, or -1: a % without two hexadecimal digits.
 */
long url_decode(char *text, size_t len, bool plus);

/*
 * The decoded value of a parameter as a new string; NULL: there is none, or (*bad) it can not be
 * decoded, or has a NUL in it.
 */
char *url_parameter(const char *query, const char *name, bool *bad);
