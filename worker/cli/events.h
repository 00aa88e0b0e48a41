/*
 * events.h - the events of a part of the log, one by one, decoded as the worker would: for commands
 * that look for those of certain rows. Calls wait.
 */
#pragma once

#include "core/stream.h"
#include "io/replay.h"

struct event {
	const struct source_message *m; /* with topic, partition, offset */
	bool ok;
	struct record record; /* if it is ok; else its reason */
	struct slice row;     /* in COPY BINARY form; its first record.key_len bytes are the key */
	const char *why;      /* it is not ok */
};

/*
 * Calls take() for each event of the part, in order within each partition; left-out offsets are
 * left out. Waits; abort_fd ends it (-1: none). False with class RETRY (no answer) or CONFIG (a
 * schema is not to be had). stream: of config, whose plans are filled.
 */
MUST_CHECK bool events_read(const struct config *config, struct stream *stream,
			    const struct replay *what, int abort_fd,
			    void (*take)(void *ctx, const struct event *e), void *ctx,
			    struct err *err);
