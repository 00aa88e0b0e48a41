/*
 * sink_copy.c - the bytes of the sink's COPYs: rows of a batch, dead letters.
 *
 *   header | fields, [_part, _op,] row | ... | trailer
 *
 * Rows are in COPY form already, so they are only gathered in the order of their keys. What goes to
 * the staging table has the two columns that say which partition it is of and what is to be done
 * with it. The end of the COPY is not said here, since that is what lets the transaction go on
 * (sink.c).
 *
 * Thread: the lane's.
 */
#include "base/clock.h"
#include "write/sink_parts.h"

/*
 * One CopyData message: large enough that a send() moves much, small enough to stay in the cache.
 */
#define CHUNK_BYTES (size_t)(256 * 1024)

static const uint8_t copy_header[19] = "PGCOPY\n\377\r\n\0";
static const uint8_t copy_trailer[2] = {0xff, 0xff};

static bool copy_flush(struct sink *s, size_t at_least, struct err *err)
{
	if (s->chunk.len < at_least)
		return true;
	bool ok = pg_copy_data(s->pg, s->chunk.data, s->chunk.len, err);
	s->chunk.len = 0;
	return ok;
}

/* _part and _op */
static void put_stage_columns(uint8_t *p, const struct batch_row *row)
{
	put_be32(p, 2);
	put_be16(p + 4, (uint16_t)row->span);
	put_be32(p + 6, 1);
	p[10] = row->op == RECORD_DELETE ? 'D' : 'U';
}

bool sink_copy_rows(struct sink *s, const struct batch *b, const struct batch_row *rows, size_t n,
		    struct err *err)
{
	uint16_t fields =
		(uint16_t)(b->stream->table->ncolumns + (s->direct ? 0 : MERGESQL_STAGE_COLUMNS));
	s->chunk.len = 0;
	buf_put(&s->chunk, copy_header, sizeof(copy_header));
	for (size_t i = 0; i < n; i++) {
		const struct batch_row *row = &rows[i];
		buf_be16(&s->chunk, fields);
		if (!s->direct)
			put_stage_columns(buf_take(&s->chunk, 11), row);
		buf_put(&s->chunk, row->data.data, row->data.len);
		if (!copy_flush(s, CHUNK_BYTES, err))
			return false;
	}
	buf_put(&s->chunk, copy_trailer, sizeof(copy_trailer));
	return copy_flush(s, 1, err);
}

/* --- dead letters --- */

void sink_put_text(struct buf *out, const char *text)
{
	if (!text) {
		buf_be32(out, UINT32_MAX);
		return;
	}
	buf_be32(out, (uint32_t)strlen(text));
	buf_puts(out, text);
}

static void put_bytes(struct buf *out, bool there, struct slice bytes)
{
	buf_be32(out, there ? (uint32_t)bytes.len : UINT32_MAX);
	if (there)
		buf_put(out, bytes.data, bytes.len);
}

void sink_put_int4(struct buf *out, int32_t n)
{
	buf_be32(out, 4);
	buf_be32(out, (uint32_t)n);
}

void sink_put_int8(struct buf *out, int64_t n)
{
	buf_be32(out, 8);
	buf_be64(out, (uint64_t)n);
}

static void put_dead_letter(struct sink *s, const struct batch *b, const struct dead_letter *d)
{
	const int64_t epoch_2000_us = INT64_C(946684800) * US_PER_S;
	const struct span *span = &b->spans[d->span];
	struct buf *out = &s->chunk;
	buf_be16(out, 11);
	sink_put_text(out, s->config->group_id);
	sink_put_text(out, span->topic);
	sink_put_int4(out, span->partition);
	sink_put_int8(out, d->offset);
	sink_put_text(out, b->stream->config->name);
	sink_put_text(out, dead_reason_name(d->reason));
	sink_put_text(out, d->detail);
	put_bytes(out, d->has_key, d->key);
	put_bytes(out, d->has_value, d->value);
	if (d->headers) {
		buf_be32(out, (uint32_t)strlen(d->headers) + 1);
		buf_u8(out, 1); /* version of jsonb's binary form */
		buf_puts(out, d->headers);
	} else {
		buf_be32(out, UINT32_MAX);
	}
	if (d->timestamp_ms >= 0)
		sink_put_int8(out, d->timestamp_ms * US_PER_MS - epoch_2000_us);
	else
		buf_be32(out, UINT32_MAX);
}

bool sink_copy_dead(struct sink *s, const struct batch *b, struct err *err)
{
	s->chunk.len = 0;
	buf_put(&s->chunk, copy_header, sizeof(copy_header));
	for (size_t i = 0; i < b->ndead; i++) {
		if (b->spans[b->dead[i].span].result != SPAN_OPEN)
			continue;
		put_dead_letter(s, b, &b->dead[i]);
		if (!copy_flush(s, CHUNK_BYTES, err))
			return false;
	}
	buf_put(&s->chunk, copy_trailer, sizeof(copy_trailer));
	return copy_flush(s, 1, err);
}
