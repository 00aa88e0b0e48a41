/*
 * text_reference.h - text and JSON checked byte by byte, in another way than codec/text.c, to
 * compare it with.
 */
#pragma once

#include "base/base.h"

bool reference_utf8(const uint8_t *p, size_t n);

/*
 * One value of RFC 8259 in valid UTF-8, without \u0000 and with surrogates in pairs, nested at most
 * max_depth arrays and objects. *vast: a number has an exponent of more than 4 digits, so that
 * numeric may refuse it; others are taken to fit.
 */
bool reference_json(const uint8_t *p, size_t n, unsigned max_depth, bool *vast);
