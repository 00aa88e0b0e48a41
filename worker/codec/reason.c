/*
 * reason.c - the names of the reasons, and filling a refusal.
 *
 * The names are a contract: they stand in memingest.dead_letters, in the label "reason" of a metric
 * and in people's queries. Adding one is a change of the contract; renaming one breaks what others
 * wrote. A refusal is made once per poisoned event, so the cost of formatting does not matter. No
 * state, any thread.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "codec/reason.h"

static const char *const names[REASON_COUNT] = {
	[REASON_FRAME] = "frame",
	[REASON_SCHEMA] = "schema",
	[REASON_DECODE] = "decode",
	[REASON_MISSING_FIELD] = "missing_field",
	[REASON_INVALID_EMBEDDING] = "invalid_embedding",
	[REASON_INVALID_JSON] = "invalid_json",
	[REASON_INVALID_TEXT] = "invalid_text",
	[REASON_OUT_OF_RANGE] = "out_of_range",
	[REASON_TOO_LARGE] = "too_large",
	[REASON_CONSTRAINT] = "constraint",
	[REASON_DATABASE] = "database",
	[REASON_EMBED] = "embed",
	[REASON_OPERATOR] = "operator",
};

const char *dead_reason_name(enum dead_reason reason)
{
	assert((unsigned)reason < REASON_COUNT);
	return names[reason];
}

bool refuse(struct refusal *why, enum dead_reason reason, const char *fmt, ...)
{
	why->reason = reason;
	va_list args;
	va_start(args, fmt);
	if (vsnprintf(why->text, sizeof(why->text), fmt, args) < 0)
		why->text[0] = '\0';
	va_end(args);
	return false;
}
