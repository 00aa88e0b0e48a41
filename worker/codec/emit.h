/*
 * emit.h - one value of a datum as one COPY field. For decode.c alone, whose loop over the columns
 * wants the common case, a short text, inline.
 */
#pragma once

#include "codec/plan_steps.h"
#include "codec/text.h"

struct emit {
	struct cursor *c;
	const struct decode_limits *limits;
	struct buf *out;
};

/*
 * The value at the cursor, of step s (no union), as a field. False: the cursor's refusal says why.
 */
MUST_CHECK bool emit_value(const struct emit *e, const struct step *s, const struct target *t,
			   const struct target *element, enum pgbin_oid oid);
/* A string that holds JSON. */
MUST_CHECK bool emit_json_text(const struct emit *e, const struct target *t, struct slice v);
/* What emit_text_field() can not say at a glance: size, UTF-8, the column's length. */
MUST_CHECK bool emit_check_text(const struct emit *e, const struct target *t, struct slice v);

/* A string into a text column. Short for its column, and ASCII: no more to check. */
MUST_CHECK static inline bool emit_text_field(const struct emit *e, const struct target *t,
					      struct slice v)
{
	size_t most = t->max_chars > 0 ? t->max_chars : e->limits->max_string_bytes;
	uint8_t *p = buf_take(e->out, 4 + v.len);
	put_be32(p, (uint32_t)v.len);
	bool plain = text_copy(p + 4, v);
	return (plain && v.len <= most && v.len <= e->limits->max_string_bytes) ||
	       emit_check_text(e, t, v);
}
