/*
 * text.h - would PostgreSQL store these bytes as text, or as jsonb? Nothing is allocated or
 * changed.
 */
#pragma once

#include "base/base.h"
#include "codec/reason.h"

/* what text_check_json() can count; a larger max_depth means this */
#define TEXT_JSON_MAX_DEPTH 1024u

/* As PostgreSQL's UTF8: no NUL, surrogates, overlong forms. Else REASON_INVALID_TEXT. */
MUST_CHECK bool text_check_utf8(struct slice s, struct refusal *why);

/* Copies s in any case. True: ASCII without NUL. False: text_check_utf8() has to tell. */
MUST_CHECK bool text_copy(uint8_t *to, struct slice s);

#define TEXT_PAD 16u /* zero bytes that stand behind what text_check_json() looks at */

/*
 * One JSON value of RFC 8259 that jsonb holds: valid UTF-8 (else REASON_INVALID_TEXT), no \u0000,
 * surrogates in pairs only, numbers within numeric, nested at most max_depth arrays and objects.
 * Else REASON_INVALID_JSON, or REASON_TOO_LARGE for the depth and for strings that jsonb cannot
 * hold. Behind s stand TEXT_PAD zero bytes.
 */
MUST_CHECK bool text_check_json(struct slice s, uint32_t max_depth, struct refusal *why);
