/*
 * produce_file.c - the events of a file into a stream's topic.
 *
 *   records --> datum, in the file's schema --> core/message --> message
 *
 * What would become a dead letter is refused here, where file and line are known.
 *
 * Thread: the command's. Failure: of an event: named and counted, nothing of it is sent. Damage
 * that ends the file: the same, once; what stood before it was sent.
 */
#include <stdio.h>

#include "base/clock.h"
#include "cli/produce.h"
#include "file/records.h"

struct loader {
	struct produce *p;
	struct records *records;
	struct message_maker *maker;
	struct buf message, message_key;
};

/* ---- open and close ---- */

/* On failure close_loader() is still to be called. */
static bool open_loader(struct loader *l, const char *path, struct err *err)
{
	const struct stream *s = l->p->stream;
	l->records = records_open(path, s->table, err);
	if (!l->records)
		return false;
	l->maker = message_maker_new(s, &l->p->config->limits, records_schema(l->records), err);
	return l->maker || err_wrap(err, "%s", path);
}

/* All of it may be NULL. */
static void close_loader(struct loader *l)
{
	records_close(l->records);
	message_maker_free(l->maker);
	buf_free(&l->message);
	buf_free(&l->message_key);
}

/* ---- events ---- */

static void name_bad(struct produce *p, const struct err *bad)
{
	fprintf(stderr, "%s\n", bad->text);
	p->bad++;
}

/* False only when no more can be sent; a bad event is counted. */
static bool send_event(struct loader *l, struct slice datum, struct err *err)
{
	struct err bad = {0};
	l->message.len = l->message_key.len = 0;
	if (!message_make(l->maker, datum, &l->p->envelope, &l->message, &l->message_key, &bad)) {
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
