/*
 * produce_file.c - the events of a file into a stream's topic.
 *
 *   records --> datum, in the file's schema --> recode --> in the stream's schema --> message
 *                                                            |  '--> its key
 *                                                            '--> would the table take it?
 *
 * A message is written with the stream's own schema, whatever the file's is, so nothing is
 * registered for the sake of one file, and formats that know no other schema work, too. Fields that
 * the stream lacks are skipped, missing ones take their defaults: Avro's resolution.
 *
 * Each event is decoded once as the worker will decode it. What would become a dead letter (a
 * vector of another dimension, JSON that is none, a text with a NUL, whatever is over a limit) is
 * refused here, where file and line are known.
 *
 * Thread: the command's. Failure: of an event: named and counted, nothing of it is sent. Damage
 * that ends the file: the same, once; what stood before it was sent.
 */
#include <stdio.h>

#include "base/clock.h"
#include "cli/produce.h"
#include "codec/decode.h"
#include "codec/plan.h"
#include "codec/recode.h"
#include "file/records.h"
#include "schema/encode.h"

struct loader {
	struct produce *p;
	struct records *records;
	struct recoder *value, *key; /* value: NULL when the datums are the stream's already; key:
				      * NULL: no key */
	struct plan *plan;
	struct decoder *decoder;
	struct buf message, message_key, row;
};

/* ---- open and close ---- */

/* No recoder where the file has the stream's own schema. */
static bool open_recoders(struct loader *l, struct err *err)
{
	const struct stream *s = l->p->stream;
	const struct decode_limits *limits = &l->p->config->limits;
	const struct schema *file = records_schema(l->records);
	if (s->key_reader)
		l->key = recoder_new_key(s->reader, s->key_reader, s->table->columns[0].field,
					 limits, err);
	if (s->key_reader && !l->key)
		return err_wrap(err, "the stream's key_schema");
	if (file == s->reader)
		return true;
	l->value = recoder_new(file, s->reader, limits, err);
	if (l->value)
		return true;
	err->class = ERR_POISON; /* not the config is wrong, but the file */
	return false;
}

/* On failure close_loader() is still to be called. */
static bool open_loader(struct loader *l, const char *path, struct err *err)
{
	const struct stream *s = l->p->stream;
	l->records = records_open(path, s->table, err);
	if (!l->records)
		return false;
	if (!open_recoders(l, err))
		return err_wrap(err, "%s", path);
	l->plan = plan_new(s->reader, s->table, err);
	l->decoder = decoder_new(&l->p->config->limits);
	return l->plan != NULL;
}

/* All of it may be NULL. */
static void close_loader(struct loader *l)
{
	records_close(l->records);
	recoder_free(l->value);
	recoder_free(l->key);
	plan_free(l->plan);
	decoder_free(l->decoder);
	buf_free(&l->message);
	buf_free(&l->message_key);
	buf_free(&l->row);
}

/* ---- events ---- */

/* By the worker's own code: the row itself is thrown away. */
static bool would_land(struct loader *l, struct slice datum, struct err *err)
{
	struct record record;
	l->row.len = 0;
	return decode_record(l->decoder, l->plan, datum, &l->row, &record, err) ||
	       err_wrap(err, "the table would not take it");
}

/* Envelope, datum in the stream's schema, and its key. */
static bool make_message(struct loader *l, struct slice datum, struct err *err)
{
	const struct produce *p = l->p;
	enum frame_format format = p->stream->config->format;
	l->message.len = l->message_key.len = 0;
	encode_frame(&l->message, format, p->schema_id);
	size_t head = l->message.len;
	if (!l->value)
		buf_put(&l->message, datum.data, datum.len);
	else if (!recode(l->value, datum, &l->message, err))
		return false;
	datum = (struct slice){l->message.data + head, l->message.len - head};
	if (!would_land(l, datum, err))
		return false;
	if (!l->key)
		return true;
	encode_frame(&l->message_key, format, p->key_schema_id);
	return recode(l->key, datum, &l->message_key, err) || err_wrap(err, "the key");
}

static void name_bad(struct produce *p, const struct err *bad)
{
	fprintf(stderr, "%s\n", bad->text);
	p->bad++;
}

/* False only when no more can be sent; a bad event is counted. */
static bool send_event(struct loader *l, struct slice datum, struct err *err)
{
	struct err bad = {0};
	if (!make_message(l, datum, &bad)) {
		records_blame(l->records, &bad);
		name_bad(l->p, &bad);
		return true;
	}
	struct slice key = {l->message_key.len ? l->message_key.data : NULL, l->message_key.len};
	return produce_send(l->p, key, (struct slice){l->message.data, l->message.len}, 0, err);
}

/* False: err; else the run goes on while *more. */
static bool next_event(struct loader *l, bool *more, struct err *err)
{
	struct slice datum;
	struct err bad = {0};
	switch (records_next(l->records, &datum, &bad)) {
	case RECORDS_RECORD:
		return send_event(l, datum, err);
	case RECORDS_BAD:
		name_bad(l->p, &bad);
		return true;
	case RECORDS_END:
		l->p->complete = true;
		*more = false;
		return true;
	case RECORDS_BROKEN:
		break;
	}
	*more = false;
	if (bad.class == ERR_RETRY && !l->p->going(l->p))
		return true; /* the signal that came in between is the one to stop */
	if (bad.class == ERR_POISON) {
		name_bad(l->p, &bad);
		l->p->complete = true;
		return true;
	}
	*err = bad;
	return false;
}

/* Looks at signals now and then, not at every event. */
bool produce_file(struct produce *p, const char *path, struct err *err)
{
	struct loader l = {.p = p};
	p->start_us = clock_mono_us();
	bool ok = open_loader(&l, path, err), more = true;
	for (uint64_t n = 0; ok && more && (n % PRODUCE_LOOK_EVERY != 0 || p->going(p)); n++)
		ok = next_event(&l, &more, err);
	close_loader(&l);
	return ok;
}
