/*
 * refetch.h - reads single messages of Kafka once more, outside any group.
 *
 * For dead letters that only PostgreSQL could find: rows do not keep the bytes of their message.
 * One thread at a time; every call waits for the broker.
 */
#pragma once

#include <stdatomic.h>

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"

struct refetch;

/* Borrows config. Its consumer is opened at first use. */
struct refetch *refetch_new(const struct config *config);
void refetch_free(struct refetch *r); /* NULL is fine */

struct refetched {
	uint8_t *key, *value; /* NULL for null */
	size_t key_len, value_len;
	char *headers; /* JSON, or NULL */
	int64_t offset, timestamp_ms;
};

/*
 * Waits up to timeout_ms, or until *stop (may be NULL). Class RETRY when the broker does not
 * answer, CONFIG when it denies, POISON when the offset holds no message any more. The result is
 * the caller's: refetched_free().
 */
MUST_CHECK bool refetch_read(struct refetch *r, const char *topic, int32_t partition,
			     int64_t offset, int timeout_ms, const atomic_bool *stop,
			     struct refetched *out, struct err *err);
/* The same for the first message at or behind the offset: some hold none. */
MUST_CHECK bool refetch_first(struct refetch *r, const char *topic, int32_t partition,
			      int64_t offset, int timeout_ms, struct refetched *out,
			      struct err *err);
void refetched_free(struct refetched *m);

/* Nothing more for a while: fetches no further. */
void refetch_rest(struct refetch *r);
