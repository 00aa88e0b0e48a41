/*
 * sink_dead.c - a transaction's dead letters into memingest.dead_letters.
 *
 *   COPY: pipeline, topic, partition, offset, stream, reason, detail, key, value, headers, time
 *
 * A letter must land, whatever it quotes: it is the last place for its event, and a refusal here
 * would be ours, not the event's. So what PostgreSQL cannot hold is said in other words:
 *
 *   a record's time beyond PostgreSQL's     null, and the number in the detail
 *   text that the database's encoding       all that is not ASCII is written as \uXXXX, and the
 *   lacks (SQLSTATE class 22)               detail says so; tried when the plain one was refused
 *
 * Key and value are bytea, which holds anything.
 *
 * Thread: the lane's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "write/sink_parts.h"

#define COLUMNS 11
#define EPOCH_2000_MS INT64_C(946684800000)
/* timestamptz: 4714-11-24 BC to 294276-12-31 AD (PostgreSQL's manual, Date/Time Types) */
#define FIRST_MS (EPOCH_2000_MS - INT64_C(211813488000000))
#define LAST_MS INT64_C(9224318016000000 - 86400000)

/* PostgreSQL's timestamps end before a record's can. */
static bool is_time(int64_t timestamp_ms)
{
	return timestamp_ms >= FIRST_MS && timestamp_ms <= LAST_MS;
}

/* The code point at *p, which moves past it. What is no UTF-8 is taken byte by byte. */
static uint32_t next_code(const char **p)
{
	const uint8_t *s = (const uint8_t *)*p;
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 1;
	uint32_t code = n == 1 ? s[0] : s[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			*p += 1;
			return s[0];
		}
		code = code << 6 | (s[i] & 0x3f);
	}
	*p += n;
	return code;
}

/*
 * Text with \uXXXX for what is not ASCII. In JSON the backslash is escaped, so that the value is
 * those six characters; so are JSON's own \uXXXX, which would become the very character again.
 */
static char *ascii(const char *text, bool json)
{
	struct buf out = {0};
	for (const char *p = text; *p;) {
		if (json && p[0] == '\\' && p[1] != '\0') {
			buf_printf(&out, "%s%.2s", p[1] == 'u' ? "\\" : "", p);
			p += 2;
			continue;
		}
		uint32_t code = next_code(&p);
		if (code < 0x80)
			buf_u8(&out, (uint8_t)code);
		else
			buf_printf(&out, "%s\\u%04" PRIx32, json ? "\\" : "", code);
	}
	char *copy = xstrdup(buf_cstr(&out));
	buf_free(&out);
	return copy;
}

/* What had to be changed about the letter is said in it. */
static void put_detail(const struct batch *b, const struct dead_letter *d, struct buf *out)
{
	char time[96] = "";
	if (d->timestamp_ms >= 0 && !is_time(d->timestamp_ms))
		snprintf(time, sizeof(time),
			 " (the record's time, %" PRId64 " ms, is none of PostgreSQL's)",
			 d->timestamp_ms);
	char *detail = b->escaped ? ascii(d->detail, false) : xstrdup(d->detail);
	char *text =
		xasprintf("%s%s%s", detail, time,
			  b->escaped ? " (what the database's encoding may lack is escaped)" : "");
	sink_put_text(out, text);
	free(text);
	free(detail);
}

/* jsonb, which is text behind a version byte. */
static void put_headers(const struct batch *b, const char *headers, struct buf *out)
{
	if (!headers) {
		buf_be32(out, UINT32_MAX);
		return;
	}
	char *escaped = b->escaped ? ascii(headers, true) : NULL;
	const char *text = escaped ? escaped : headers;
	buf_be32(out, (uint32_t)strlen(text) + 1);
	buf_u8(out, 1); /* version of jsonb's binary form */
	buf_puts(out, text);
	free(escaped);
}

/*
 * The order of columns is that of the COPY. Key and value may be as large as a message can be, many
 * times a chunk.
 */
static bool put_letter(struct sink *s, const struct batch *b, const struct dead_letter *d,
		       struct err *err)
{
	const struct span *span = &b->spans[d->span];
	struct buf *out = &s->chunk;
	buf_be16(out, COLUMNS);
	sink_put_text(out, s->config->group_id);
	sink_put_text(out, span->topic);
	sink_put_int4(out, span->partition);
	sink_put_int8(out, d->offset);
	sink_put_text(out, b->stream->config->name);
	sink_put_text(out, dead_reason_name(d->reason));
	put_detail(b, d, out);
	if (!sink_copy_bytes(s, d->has_key, d->key, err) ||
	    !sink_copy_bytes(s, d->has_value, d->value, err))
		return false;
	put_headers(b, d->headers, out);
	if (d->timestamp_ms >= 0 && is_time(d->timestamp_ms))
		sink_put_int8(out, (d->timestamp_ms - EPOCH_2000_MS) * US_PER_MS);
	else
		buf_be32(out, UINT32_MAX);
	return sink_copy_more(s, err);
}

/* Of this transaction, and not written by an earlier one of the batch. */
static bool is_due(const struct batch *b, const struct dead_letter *d)
{
	const struct span *span = &b->spans[d->span];
	return span->result == SPAN_OPEN && !d->written && d->offset < span->upto;
}

bool sink_has_dead_letters(const struct batch *b)
{
	for (size_t i = 0; i < b->ndead; i++)
		if (is_due(b, &b->dead[i]))
			return true;
	return false;
}

/* Its end is waited for: a refusal has to be known before COMMIT. */
static bool copy_letters(struct sink *s, const struct batch *b, struct err *err)
{
	int64_t answers[2];
	if (!pg_copy_begin(s->pg,
			   "COPY memingest.dead_letters (pipeline, topic, partition, \"offset\","
			   " stream, reason, detail, key, value, headers, event_time)"
			   " FROM STDIN (FORMAT binary)",
			   NULL, 0, err))
		return false;
	sink_copy_header(s);
	for (size_t i = 0; i < b->ndead; i++) {
		if (!is_due(b, &b->dead[i]))
			continue;
		if (!put_letter(s, b, &b->dead[i], err))
			return false;
	}
	return sink_copy_trailer(s, err) && sink_end_copy(s, answers, err);
}

/* Nothing to do if there are none. */
bool dead_write(struct sink *s, const struct batch *b, struct err *err)
{
	if (!sink_has_dead_letters(b))
		return true;
	s->phase = "dead letters";
	if (copy_letters(s, b, err))
		return true;
	stats_add(METRIC_DEAD_LETTER_FAILURES, b->stream->index, 0, 1);
	return err_wrap(err, "dead letters");
}
