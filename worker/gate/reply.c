/*
 * reply.c - what the gateway answers, as JSON.
 *
 *   {"result":"accepted","topic":"memory.events",
 *    "events":[{"index":0,"partition":1,"offset":42},...],
 *    "errors":[{"index":3,"field":"tags","message":"..."},...]}
 *
 * An event that is not in has "state" in place of partition and offset: "lost", or "unsure" when it
 * was sent and no answer came. Written by hand, as a list of ten thousand events is what most of an
 * answer is.
 *
 * Pure functions.
 */
#include "gate/reply.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/stats.h"

const struct reply_row replies[REPLY_COUNT] = {
#define REPLY_ROW(id, status, word, when) [REPLY_##id] = {status, word, when},
	REPLIES(REPLY_ROW)
#undef REPLY_ROW
};

enum reply reply_of_status(unsigned status)
{
	for (int i = 0; i < REPLY_COUNT; i++)
		if (replies[i].status == status)
			return (enum reply)i;
	return REPLY_BUSY;
}

_Static_assert((int)REPLY_COUNT == (int)ANSWER_COUNT, "the answers that base/stats.c names");

static void begin(enum reply reply, unsigned retry_s, struct door_answer *a, const char *message)
{
	stats_add(METRIC_GATEWAY_ANSWERS, reply, 0, 1);
	*a = (struct door_answer){
		.status = replies[reply].status, .type = "application/json", .retry_s = retry_s};
	buf_printf(&a->body, "{\"result\":\"%s\"", replies[reply].word);
	if (message) {
		buf_puts(&a->body, ",\"message\":");
		parcel_json(&a->body, message, strlen(message));
	}
	if (reply == REPLY_UNAUTHORIZED) {
		a->header = "WWW-Authenticate";
		a->value = "Bearer realm=\"memingest\"";
	}
}

void reply_say(enum reply reply, unsigned retry_s, struct door_answer *a, const char *fmt, ...)
{
	char message[ERR_TEXT_SIZE + 256];
	va_list args;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	begin(reply, retry_s, a, message);
	buf_puts(&a->body, "}\n");
}

static char *put_number(char *p, uint64_t n)
{
	char digits[20];
	size_t len = 0;
	do {
		digits[len++] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	while (len > 0)
		*p++ = digits[--len];
	return p;
}

static char *put_text(char *p, const char *text)
{
	return stpcpy(p, text);
}

/* Without printf: ten thousand of them are ten thousand times its cost. */
static void put_event(struct buf *out, const struct parcel_event *e)
{
	enum { ROOM = 128 };
	buf_grow(out, ROOM);
	char *begin = (char *)out->data + out->len, *p = put_text(begin, "{\"index\":");
	p = put_number(p, e->index);
	switch (e->fate) {
	case PARCEL_IN:
		p = put_number(put_text(p, ",\"partition\":"), (uint64_t)e->partition);
		p = put_number(put_text(p, ",\"offset\":"), (uint64_t)e->offset);
		break;
	case PARCEL_READY:
	case PARCEL_LOST:
		p = put_text(p, ",\"state\":\"lost\"");
		break;
	case PARCEL_UNSURE:
		p = put_text(p, ",\"state\":\"unsure\"");
		break;
	}
	p = put_text(p, "}");
	out->len += (size_t)(p - begin);
}

void reply_events(enum reply reply, unsigned retry_s, struct door_answer *a, const char *topic,
		  const struct parcel *p, const char *message)
{
	begin(reply, retry_s, a, message);
	struct buf *out = &a->body;
	if (topic) {
		buf_puts(out, ",\"topic\":");
		parcel_json(out, topic, strlen(topic));
		buf_puts(out, ",\"events\":[");
		for (size_t i = 0; i < p->n; i++) {
			if (i > 0)
				buf_u8(out, ',');
			put_event(out, &p->events[i]);
		}
		buf_u8(out, ']');
	}
	if (p->nerrors > 0) {
		buf_puts(out, ",\"errors\":[");
		buf_put(out, p->errors.data, p->errors.len);
		buf_u8(out, ']');
	}
	buf_puts(out, "}\n");
}
