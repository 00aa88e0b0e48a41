/*
 * sink_copy.c - the bytes of the sink's COPYs.
 *
 *   header | fields, [_part, _op,] row | ... | trailer
 *
 * Rows are in COPY form already, so they are only gathered in the order of their keys. What goes to
 * the staging table has the two columns that say which partition it is of and what is to be done
 * with it. The end of the COPY is not said here, since that is what lets the transaction go on
 * (sink.c).
 *
 * Thread: the lane's. Memory: one chunk, kept.
 */
#include "base/failpoint.h"
#include "write/sink_parts.h"

/* One CopyData message: large enough that a send() moves much, small enough to stay in the cache.
 */
#define CHUNK_BYTES (size_t)(256 * 1024)

static const uint8_t copy_header[19] = "PGCOPY\n\377\r\n\0";
static const uint8_t copy_trailer[2] = {0xff, 0xff};

/* In large pieces, as each is a call of libpq. */
static bool flush(struct sink *s, size_t at_least, struct err *err)
{
	if (s->chunk.len < at_least)
		return true;
	bool ok = pg_copy_data(s->pg, s->chunk.data, s->chunk.len, err);
	s->chunk.len = 0;
	return ok;
}

void sink_copy_header(struct sink *s)
{
	s->chunk.len = 0;
	buf_put(&s->chunk, copy_header, sizeof(copy_header));
}

bool sink_copy_more(struct sink *s, struct err *err)
{
	return flush(s, CHUNK_BYTES, err);
}

/* In pieces, wherever they end: what PostgreSQL reads is a stream. So no value stands here whole.
 */
bool sink_copy_bytes(struct sink *s, bool there, struct slice bytes, struct err *err)
{
	buf_be32(&s->chunk, there ? (uint32_t)bytes.len : UINT32_MAX);
	for (size_t at = 0; there && at < bytes.len; at += MIN(bytes.len - at, CHUNK_BYTES)) {
		buf_put(&s->chunk, bytes.data + at, MIN(bytes.len - at, CHUNK_BYTES));
		if (!sink_copy_more(s, err))
			return false;
	}
	return true;
}

bool sink_copy_trailer(struct sink *s, struct err *err)
{
	buf_put(&s->chunk, copy_trailer, sizeof(copy_trailer));
	return flush(s, 1, err);
}

/* _part and _op */
static void put_stage_columns(uint8_t *p, const struct batch_row *row)
{
	put_be32(p, 2);
	put_be16(p + 4, (uint16_t)row->span);
	put_be32(p + 6, 1);
	p[10] = row->op == RECORD_DELETE ? 'D' : row->united ? 'J' : 'U';
}

/* In the order given; no row is copied twice. */
bool sink_copy_rows(struct sink *s, const struct batch *b, const struct batch_row *rows, size_t n,
		    bool staged, struct err *err)
{
	size_t fields = b->stream->table->ncolumns + (staged ? MERGESQL_STAGE_COLUMNS : 0);
	sink_copy_header(s);
	for (size_t i = 0; i < n; i++) {
		const struct batch_row *row = &rows[i];
		buf_be16(&s->chunk, (uint16_t)fields);
		if (staged)
			put_stage_columns(buf_take(&s->chunk, 11), row);
		buf_put(&s->chunk, row->data.data, row->data.len);
		if (!sink_copy_more(s, err))
			return false;
	}
	return sink_copy_trailer(s, err) && !FAIL_POINT_PG("after_copy", s->pg, err);
}

/* --- single fields --- */

/* NULL is a null field. */
void sink_put_text(struct buf *out, const char *text)
{
	if (!text) {
		buf_be32(out, UINT32_MAX);
		return;
	}
	buf_be32(out, (uint32_t)strlen(text));
	buf_puts(out, text);
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
