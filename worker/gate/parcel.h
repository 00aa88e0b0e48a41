/*
 * parcel.h - the events of one request: each a message, and what became of it; and what was wrong
 * with those that are none.
 */
#pragma once

#include <stdatomic.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

enum parcel_fate {
	PARCEL_READY,  /* not sent yet, or on its way */
	PARCEL_IN,     /* the broker has it, at that offset */
	PARCEL_LOST,   /* the broker has it not */
	PARCEL_UNSURE, /* it was sent, and no answer came */
};

struct parcel_event {
	struct parcel *parcel;
	uint32_t index; /* in the request */
	enum parcel_fate fate;
	int32_t partition;
	int64_t offset;
	size_t key, key_len, value, value_len; /* in bytes */
	bool tombstone;
};

struct parcel {
	struct buf bytes; /* keys and values */
	struct parcel_event *events;
	size_t n, cap;
	size_t total;      /* events of the request, good or bad */
	struct buf errors; /* of those that are bad: JSON objects with commas between */
	size_t nerrors;
	bool keyed;           /* the stream has a key schema */
	atomic_flag told;     /* the next is taken */
	char first_lost[160]; /* why the first of those that were not delivered was not */
};

void parcel_free(struct parcel *p); /* what it has, not itself */

/* An event whose key begins at the end of bytes; what it has, the caller puts there. */
struct parcel_event *parcel_begin(struct parcel *p, uint32_t index);
/* An event is none, and why. */
void parcel_refuse(struct parcel *p, uint32_t index, const struct err *err);
/* The same; field NULL: of none in particular. */
void parcel_add_error(struct parcel *p, uint32_t index, const char *field, const char *message);

struct slice parcel_key(const struct parcel_event *e);   /* data NULL: none */
struct slice parcel_value(const struct parcel_event *e); /* data NULL: a tombstone */

/* A JSON string, quotes and all; text is UTF-8. */
void parcel_json(struct buf *out, const char *text, size_t len);
