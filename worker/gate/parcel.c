/*
 * parcel.c - the events of one request.
 *
 *   bytes:   key value key value value ...          one after another, as they were encoded
 *   events:  [index, places of key and value, fate, partition, offset] ...
 *   errors:  {"index":3,"field":"tags","message":"..."},{...}
 *
 * Events do not point into bytes but count from its beginning, as it grows. Once the last one is
 * there nothing moves any more: the producer's reports bring back the address of an event.
 *
 * Thread: whoever has the request; while its messages are on their way, the fates of its events are
 * the delivery thread's.
 */
#include "gate/parcel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void parcel_free(struct parcel *p)
{
	buf_free(&p->bytes);
	buf_free(&p->errors);
	free(p->events);
	p->events = NULL;
	p->n = p->cap = 0;
}

struct parcel_event *parcel_begin(struct parcel *p, uint32_t index)
{
	if (p->n == p->cap) {
		p->cap = MAX(p->cap * 2, (size_t)16);
		p->events = xrealloc(p->events, p->cap * sizeof(*p->events));
	}
	struct parcel_event *e = &p->events[p->n++];
	*e = (struct parcel_event){.parcel = p, .index = index, .key = p->bytes.len};
	return e;
}

void parcel_json(struct buf *out, const char *text, size_t len)
{
	buf_u8(out, '"');
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i];
		if (c < 0x20) {
			buf_printf(out, "\\u%04x", c);
			continue;
		}
		if (c == '"' || c == '\\')
			buf_u8(out, '\\');
		buf_u8(out, c);
	}
	buf_u8(out, '"');
}

void parcel_add_error(struct parcel *p, uint32_t index, const char *field, const char *message)
{
	struct buf *out = &p->errors;
	buf_printf(out, "%s{\"index\":%u,", p->nerrors++ ? "," : "", index);
	if (field) {
		buf_puts(out, "\"field\":");
		parcel_json(out, field, strlen(field));
		buf_u8(out, ',');
	}
	buf_puts(out, "\"message\":");
	parcel_json(out, message, strlen(message));
	buf_u8(out, '}');
}

/* The outermost field that an error names: "field 'tags': item 2: wants string, found 7". */
static const char *field_of(const char *text, char *field, size_t size)
{
	const char *from = strstr(text, "field '"), *to;
	if (!from || !(to = strchr(from += strlen("field '"), '\'')))
		return NULL;
	snprintf(field, size, "%.*s", (int)(to - from), from);
	return field;
}

void parcel_refuse(struct parcel *p, uint32_t index, const struct err *err)
{
	char field[128];
	parcel_add_error(p, index, field_of(err->text, field, sizeof(field)), err->text);
}

struct slice parcel_key(const struct parcel_event *e)
{
	const struct parcel *p = e->parcel;
	return (struct slice){p->keyed ? p->bytes.data + e->key : NULL, e->key_len};
}

struct slice parcel_value(const struct parcel_event *e)
{
	return (struct slice){e->tombstone ? NULL : e->parcel->bytes.data + e->value, e->value_len};
}
