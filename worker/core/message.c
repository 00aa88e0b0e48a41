/*
 * message.c - a datum as the message that a stream's topic holds.
 *
 *   datum, in any schema --> recode --> in the stream's schema --> envelope + datum
 *                                         |  '--> its key: the key columns by the key schema
 *                                         '--> would the table take it?
 *
 * A message is written with the stream's own schema, whatever the datum's is, so nothing is
 * registered for the sake of one file or one request, and formats that know no other schema work,
 * too. Fields that the stream lacks are skipped, missing ones take their defaults: Avro's
 * resolution.
 *
 * Each event is decoded once as the worker will decode it. What would become a dead letter (a
 * vector of another dimension, JSON that is none, a text with a NUL, whatever is over a limit) is
 * refused here, where whoever sent it can be told.
 *
 * Thread: the owner's. Failure: of one event: class POISON.
 */
#include "core/message.h"

#include <stdlib.h>

#include "codec/plan.h"
#include "codec/recode.h"
#include "schema/encode.h"

struct message_maker {
	const struct stream *stream;
	struct recoder *value; /* NULL when the datums are the stream's already */
	struct recoder *key;   /* NULL: no key */
	struct plan *plan, *key_plan;
	struct decoder *decoder;
	struct buf row;
};

static bool open_key(struct message_maker *m, const struct decode_limits *limits, struct err *err)
{
	const struct stream *s = m->stream;
	if (!s->key_reader)
		return true;
	m->key = recoder_new_key(s->reader, s->key_reader, s->table->columns[0].field, limits, err);
	m->key_plan = m->key ? plan_new_key(s->key_reader, s->table, s->key_reader, err) : NULL;
	return m->key_plan || err_wrap(err, "the stream's key_schema");
}

/* No recoder where the datums have the stream's own schema. */
static bool open_value(struct message_maker *m, const struct decode_limits *limits,
		       const struct schema *written, struct err *err)
{
	const struct stream *s = m->stream;
	if (!(m->plan = plan_new(s->reader, s->table, err)))
		return false;
	if (written == s->reader || (m->value = recoder_new(written, s->reader, limits, err)))
		return true;
	err->class = ERR_POISON; /* not the config is wrong, but what was sent */
	return false;
}

struct message_maker *message_maker_new(const struct stream *s, const struct decode_limits *limits,
					const struct schema *written, struct err *err)
{
	struct message_maker *m = xcalloc(1, sizeof(*m));
	m->stream = s;
	m->decoder = decoder_new(limits);
	if (open_key(m, limits, err) && open_value(m, limits, written, err))
		return m;
	message_maker_free(m);
	return NULL;
}

void message_maker_free(struct message_maker *m)
{
	if (!m)
		return;
	recoder_free(m->value);
	recoder_free(m->key);
	plan_free(m->plan);
	plan_free(m->key_plan);
	decoder_free(m->decoder);
	buf_free(&m->row);
	free(m);
}

/* By the worker's own code: the row itself is thrown away. */
static bool would_land(struct message_maker *m, struct slice datum, struct err *err)
{
	struct record record;
	m->row.len = 0;
	return decode_record(m->decoder, m->plan, datum, &m->row, &record, err) ||
	       err_wrap(err, "the table would not take it");
}

bool message_make(struct message_maker *m, struct slice datum, const struct envelope *e,
		  struct buf *value, struct buf *key, struct err *err)
{
	encode_frame(value, e->format, e->value);
	size_t head = value->len;
	if (!m->value)
		buf_put(value, datum.data, datum.len);
	else if (!recode(m->value, datum, value, err))
		return false;
	datum = (struct slice){value->data + head, value->len - head};
	if (!would_land(m, datum, err))
		return false;
	if (!m->key)
		return true;
	encode_frame(key, e->format, e->key);
	return recode(m->key, datum, key, err) || err_wrap(err, "the key");
}

bool message_tombstone(struct message_maker *m, struct slice datum, const struct envelope *e,
		       struct buf *key, struct err *err)
{
	struct record record;
	m->row.len = 0;
	if (!decode_key(m->decoder, m->key_plan, datum, DECODE_NO_VERSION, &m->row, &record, err))
		return err_wrap(err, "the table has no such key");
	encode_frame(key, e->format, e->key);
	buf_put(key, datum.data, datum.len);
	return true;
}
