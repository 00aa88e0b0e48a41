/*
 * desk.c - where the body of a request becomes events of one stream.
 *
 *   JSON    [ {...}, {...} ] or {...}   jtape, one value at a time --> jsondatum --+
 *   lines   {...} \n {...} \n           the same, line by line --------------------+--> message
 *   Avro    a container file            container --> datum, in its own schema ----+    in the
 *                                                                                       parcel
 *
 * Values are parsed one by one, so that the tokens in memory are those of one event and not of the
 * body. What is wrong with an event costs itself alone and the rest is read on, so that all errors
 * are told at once; what is wrong with the body (a bracket that is missing, a damaged container)
 * ends it, since where the next event begins cannot be known. Of lines that is never so.
 *
 * The same parser, encoder and decoder that files go through: what is taken here is what "produce
 * --file" takes, and what the table will take.
 *
 * Thread: one at a time. Memory: tokens and datum of one event; the parcel is the caller's.
 */
#include "gate/desk.h"

#include <stdlib.h>
#include <string.h>

#include "file/container.h"
#include "file/input.h"
#include "file/jsondatum.h"
#include "file/jtape.h"
#include "file/number.h"

struct desk {
	const struct stream *stream;
	const struct decode_limits *limits;
	struct message_maker *maker;
	struct jsondatum *json, *key_json;
	struct jtape tape;
	struct buf datum, key, value;
	/* of one body */
	const struct desk_limits *bounds;
	const struct envelope *envelope;
	struct parcel *parcel;
	struct err *err;
};

struct desk *desk_new(const struct stream *s, const struct decode_limits *limits, struct err *err)
{
	struct desk *d = xcalloc(1, sizeof(*d));
	d->stream = s;
	d->limits = limits;
	d->json = jsondatum_new(s->reader, s->table);
	d->key_json = s->key_reader && s->key_reader->root->kind == SCHEMA_RECORD
			      ? jsondatum_new(s->key_reader, NULL)
			      : NULL;
	d->maker = message_maker_new(s, limits, s->reader, err);
	if (d->maker)
		return d;
	desk_free(d);
	return NULL;
}

void desk_free(struct desk *d)
{
	if (!d)
		return;
	message_maker_free(d->maker);
	jsondatum_free(d->json);
	jsondatum_free(d->key_json);
	jtape_free(&d->tape);
	buf_free(&d->datum);
	buf_free(&d->key);
	buf_free(&d->value);
	free(d);
}

/* --- one event --- */

static bool is_refused(struct desk *d, const struct err *why)
{
	struct parcel *p = d->parcel;
	parcel_refuse(p, (uint32_t)p->total, why);
	return true;
}

/* Behind the event: false when it was one too many. */
static bool counted(struct desk *d)
{
	struct parcel *p = d->parcel;
	p->total++;
	if (p->bytes.len <= d->bounds->bytes)
		return true;
	return err_set(d->err, ERR_CONFIG,
		       "the events take more than %zu bytes: send fewer at a time",
		       d->bounds->bytes);
}

/* Before the event. */
static bool has_room(struct desk *d)
{
	if (d->parcel->total < d->bounds->events)
		return true;
	return err_set(d->err, ERR_CONFIG,
		       "more than %zu events (gateway.max_events): send fewer at a time",
		       d->bounds->events);
}

/* A datum in the maker's schema. */
static bool take_datum(struct desk *d, struct message_maker *maker, struct slice datum)
{
	struct err why = {0};
	struct parcel *p = d->parcel;
	d->key.len = d->value.len = 0;
	if (!message_make(maker, datum, d->envelope, &d->value, &d->key, &why))
		return is_refused(d, &why) && counted(d);
	if (d->key.len + d->value.len > d->bounds->message) {
		err_set(&why, ERR_POISON,
			"%zu bytes as a message, more than the %zu that the producer may send "
			"(kafka.message.max.bytes)",
			d->key.len + d->value.len, d->bounds->message);
		return is_refused(d, &why) && counted(d);
	}
	struct parcel_event *e = parcel_begin(p, (uint32_t)p->total);
	e->key_len = d->key.len;
	e->value = e->key + e->key_len;
	e->value_len = d->value.len;
	buf_put(&p->bytes, d->key.data, d->key.len);
	buf_put(&p->bytes, d->value.data, d->value.len);
	return counted(d);
}

/* The value on the tape. */
static bool take_value(struct desk *d)
{
	struct err why = {0};
	d->datum.len = 0;
	if (!jsondatum_encode(d->json, &d->tape, &d->datum, &why))
		return is_refused(d, &why) && counted(d);
	return take_datum(d, d->maker, (struct slice){d->datum.data, d->datum.len});
}

/* --- JSON --- */

static char *blanks(char *p)
{
	while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')
		p++;
	return p;
}

/* Behind a byte order mark, as of a file; behind every body there is some room. */
static char *first_of(const struct buf *body)
{
	static const char mark[] = "\xef\xbb\xbf";
	char *text = (char *)body->data;
	return strncmp(text, mark, strlen(mark)) == 0 ? text + strlen(mark) : text;
}

/* How far from the beginning, for people who count bytes from 1. */
static enum desk_verdict not_json(struct desk *d, const char *what, const struct buf *body,
				  const char *at)
{
	err_set(d->err, ERR_POISON, "the body is not JSON: %s (byte %zu, event %zu)", what,
		(size_t)(at - (const char *)body->data) + 1, d->parcel->total);
	return DESK_MALFORMED;
}

/* The value at *at, which is moved behind it. */
static enum desk_verdict take_one(struct desk *d, const struct buf *body, char **at)
{
	struct err why = {0};
	char *begin = *at, *end = (char *)body->data + body->len;
	if (!has_room(d))
		return DESK_TOO_MUCH;
	*at = jtape_one(&d->tape, begin, (size_t)(end - begin), &why);
	if (!*at)
		return not_json(d, why.text, body, begin);
	return take_value(d) ? DESK_READ : DESK_TOO_MUCH;
}

static enum desk_verdict read_array(struct desk *d, const struct buf *body, char *at)
{
	char *end = (char *)body->data + body->len;
	at = blanks(at + 1);
	for (bool first = true; *at != ']' || at == end; first = false) {
		if (!first && *at != ',')
			return not_json(d, "a comma or ] is missing behind an event", body, at);
		at = first ? at : at + 1;
		enum desk_verdict verdict = take_one(d, body, &at);
		if (verdict != DESK_READ)
			return verdict;
	}
	at = blanks(at + 1);
	return at == end ? DESK_READ : not_json(d, "something follows the array", body, at);
}

static enum desk_verdict read_json(struct desk *d, const struct buf *body)
{
	char *at = blanks(first_of(body)), *end = (char *)body->data + body->len;
	if (*at == '[')
		return read_array(d, body, at);
	enum desk_verdict verdict = take_one(d, body, &at);
	if (verdict != DESK_READ || at == end)
		return verdict;
	return not_json(d,
			"something follows the event; several are an array, or lines of "
			"application/x-ndjson",
			body, at);
}

/* --- lines --- */

/* text[len] is made 0; what stood there is put back, as it may be the next line's. */
static bool take_line(struct desk *d, char *text, size_t len)
{
	struct err why = {0};
	char *end = text + len, after = *end;
	*end = '\0';
	bool parsed = jtape_parse(&d->tape, text, len, &why);
	if (!parsed)
		err_wrap(&why, "not JSON");
	bool ok = parsed ? take_value(d) : is_refused(d, &why) && counted(d);
	*end = after;
	return ok;
}

static enum desk_verdict read_lines(struct desk *d, const struct buf *body)
{
	char *at = first_of(body), *end = (char *)body->data + body->len;
	while (at < end) {
		char *feed = memchr(at, '\n', (size_t)(end - at)), *stop = feed ? feed : end;
		if (blanks(at) < stop) {
			if (!has_room(d) || !take_line(d, at, (size_t)(stop - at)))
				return DESK_TOO_MUCH;
		}
		at = stop + 1;
	}
	return DESK_READ;
}

/* --- Avro --- */

static enum desk_verdict read_records(struct desk *d, struct container *c)
{
	struct slice datum;
	struct err why = {0};
	enum desk_verdict verdict = DESK_MALFORMED;
	enum container_result result = CONTAINER_END;
	bool own = schema_fingerprint(container_schema(c)) == schema_fingerprint(d->stream->reader);
	struct message_maker *maker =
		own ? d->maker
		    : message_maker_new(d->stream, d->limits, container_schema(c), d->err);
	if (!maker)
		return DESK_MALFORMED;
	bool room = true;
	while (room && (result = container_next(c, &datum, &why)) == CONTAINER_RECORD)
		room = has_room(d) && take_datum(d, maker, datum);
	if (!room)
		verdict = DESK_TOO_MUCH;
	else if (result == CONTAINER_END)
		verdict = DESK_READ;
	else
		err_set(d->err, ERR_POISON, "behind event %zu: %s", d->parcel->total, why.text);
	if (!own)
		message_maker_free(maker);
	return verdict;
}

static enum desk_verdict read_avro(struct desk *d, const struct buf *body)
{
	struct input in;
	enum desk_verdict verdict = DESK_MALFORMED;
	input_open_bytes(&in, "the body", (struct slice){body->data, body->len});
	struct container *c =
		container_is(&in) ? container_open(&in, d->bounds->bytes, d->err) : NULL;
	if (c)
		verdict = read_records(d, c);
	else if (d->err->class == ERR_NONE)
		err_set(d->err, ERR_POISON, "the body is no Avro container (\"Obj\" 01)");
	container_close(c);
	input_close(&in);
	return verdict;
}

/* --- all of them --- */

enum desk_verdict desk_read(struct desk *d, enum desk_format format, struct buf *body,
			    const struct desk_limits *limits, const struct envelope *e,
			    struct parcel *parcel, struct err *err)
{
	d->bounds = limits;
	d->envelope = e;
	d->parcel = parcel;
	d->err = err;
	parcel->keyed = d->stream->key_reader != NULL;
	switch (format) {
	case DESK_JSON:
		return read_json(d, body);
	case DESK_LINES:
		return read_lines(d, body);
	case DESK_AVRO:
		return read_avro(d, body);
	}
	return DESK_MALFORMED;
}

/* --- tombstones --- */

/* As a cell of CSV is read: a number where the type wants one. */
static void put_value(struct desk *d, const struct schema_field *f, struct slice v)
{
	bool nullable;
	const char *text = (const char *)v.data;
	const struct schema_type *t = schema_unwrap(f->type, &nullable);
	bool words = !t || t->kind == SCHEMA_STRING || t->kind == SCHEMA_ENUM ||
		     t->kind == SCHEMA_BYTES || t->kind == SCHEMA_FIXED;
	bool boolean = t && t->kind == SCHEMA_BOOLEAN;
	jtape_add(&d->tape, JTOKEN_STRING, f->name, (uint32_t)strlen(f->name));
	if (boolean && v.len == 4 && memcmp(text, "true", 4) == 0)
		jtape_add(&d->tape, JTOKEN_TRUE, text, 0);
	else if (boolean && v.len == 5 && memcmp(text, "false", 5) == 0)
		jtape_add(&d->tape, JTOKEN_FALSE, text, 0);
	else
		jtape_add(&d->tape,
			  !words && number_is(text, v.len) ? JTOKEN_NUMBER : JTOKEN_STRING, text,
			  (uint32_t)v.len);
}

/* The key as if it had been JSON. */
static bool encode_key(struct desk *d, const struct slice *values, size_t n, struct err *err)
{
	const struct schema_type *key = d->stream->key_reader->root;
	if (!d->key_json)
		return err_set(err, ERR_POISON, "the stream's key is no record");
	if (n != key->nfields)
		return err_set(err, ERR_POISON,
			       "the stream's key has %zu fields, found %zu: write them in their "
			       "order, with / between",
			       key->nfields, n);
	d->tape.n = 0;
	jtape_add(&d->tape, JTOKEN_OBJECT, "", (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		put_value(d, &key->fields[i], values[i]);
	d->tape.tokens[0].size = d->tape.n;
	d->datum.len = 0;
	return jsondatum_encode(d->key_json, &d->tape, &d->datum, err);
}

bool desk_tombstone(struct desk *d, const struct slice *values, size_t n, const struct envelope *e,
		    struct parcel *parcel, struct err *err)
{
	parcel->keyed = true;
	parcel->total = 1;
	if (!encode_key(d, values, n, err))
		return false;
	size_t begin = parcel->bytes.len;
	if (!message_tombstone(d->maker, (struct slice){d->datum.data, d->datum.len}, e,
			       &parcel->bytes, err))
		return false;
	struct parcel_event *event = parcel_begin(parcel, 0);
	event->key = begin;
	event->key_len = parcel->bytes.len - begin;
	event->tombstone = true;
	return true;
}
