/*
 * merge_model.h - what merging means, in a few lines: a table with a column of each merge rule, the
 * sequences of events that are played on it, and a model that applies one event at a time.
 *
 * Every sequence of STEPS events of one key, each sequence on a key of its own, whose number says
 * which: upserts with version null, 1, 2 or 3 and payload null, 5 or 7, and deletes with version
 * null, 1, 2 or 3, which makes EVENTS of them. The payload goes into every column.
 *
 * PostgreSQL's statements (tests/system/test_merge.c) and SQLite's (test_sqlite.c) are held to it.
 */
#pragma once

#include <string.h>

#include "codec/table.h"
#include "core/config.h"

enum { EVENTS = 16, STEPS = 3, KEYS = EVENTS * EVENTS * EVENTS };
enum { ID, VERSION, REPLACE, KEEP, COALESCE, JSON, SUM, LOW, HIGH, COLUMNS };

#define BIGINT .type = "bigint", .stage_type = "bigint", .kind = PG_INT8
static struct column columns[COLUMNS] = {
	[ID] = {.name = "id", BIGINT, .not_null = true},
	[VERSION] = {.name = "version", BIGINT},
	[REPLACE] = {.name = "Replace", BIGINT},
	[KEEP] = {.name = "keep", BIGINT, .merge = MERGE_KEEP},
	[COALESCE] = {.name = "coalesce", BIGINT, .merge = MERGE_COALESCE},
	[JSON] = {.name = "json",
		  .type = "jsonb",
		  .stage_type = "jsonb",
		  .kind = PG_JSONB,
		  .merge = MERGE_JSON},
	[SUM] = {.name = "sum", BIGINT, .merge = MERGE_ADD},
	[LOW] = {.name = "low", BIGINT, .merge = MERGE_MIN},
	[HIGH] = {.name = "high", BIGINT, .merge = MERGE_MAX},
};

#define NONE INT64_MIN /* SQL null */

struct row {
	bool exists;
	int64_t v[COLUMNS]; /* JSON: 1 and 2 for the keys k5 and k7, and the value of p times 4 */
};

struct play_event {
	bool delete;
	int64_t version, payload;
};

static struct play_event event_of(size_t key, int step)
{
	static const int64_t versions[] = {NONE, 1, 2, 3}, payloads[] = {NONE, 5, 7};
	size_t symbol = (key >> (4 * step)) % EVENTS;
	if (symbol < 4)
		return (struct play_event){
			.delete = true, .version = versions[symbol], .payload = NONE};
	return (struct play_event){.version = versions[symbol % 4],
				   .payload = payloads[symbol / 4 - 1]};
}

static int64_t json_of(int64_t payload)
{
	return payload == NONE ? NONE : payload * 4 + (payload == 5 ? 1 : 2);
}

static int64_t merge_json(int64_t row, int64_t event)
{
	if (row == NONE || event == NONE)
		return row == NONE ? event : row;
	return (event & ~INT64_C(3)) | ((row | event) & 3);
}

static bool is_fresh(const struct row *r, const struct play_event *e, enum on_conflict on_conflict)
{
	return on_conflict == CONFLICT_UPDATE || r->v[VERSION] == NONE ||
	       (e->version != NONE && e->version >= r->v[VERSION]);
}

static void insert(struct row *r, size_t key, const struct play_event *e)
{
	r->exists = true;
	for (int c = 0; c < COLUMNS; c++)
		r->v[c] = e->payload;
	r->v[ID] = (int64_t)key;
	r->v[VERSION] = e->version;
	r->v[JSON] = json_of(e->payload);
}

static void accumulate(struct row *r, int64_t n)
{
	if (n == NONE)
		return;
	r->v[SUM] = r->v[SUM] == NONE ? n : r->v[SUM] + n;
	r->v[LOW] = r->v[LOW] == NONE ? n : MIN(r->v[LOW], n);
	r->v[HIGH] = r->v[HIGH] == NONE ? n : MAX(r->v[HIGH], n);
}

/* True if the row was written, or deleted. */
static bool apply(struct row *r, size_t key, const struct play_event *e,
		  enum on_conflict on_conflict, size_t ncolumns)
{
	struct row before = *r;
	if (e->delete) {
		bool stale = on_conflict == CONFLICT_NEWER && e->version != NONE &&
			     r->v[VERSION] != NONE && r->v[VERSION] > e->version;
		r->exists = r->exists && stale;
		return before.exists && !r->exists;
	}
	if (!r->exists) {
		insert(r, key, e);
		return true;
	}
	if (on_conflict == CONFLICT_SKIP)
		return false;
	if (is_fresh(r, e, on_conflict)) {
		r->v[VERSION] = e->version;
		r->v[REPLACE] = e->payload;
		r->v[COALESCE] = e->payload == NONE ? r->v[COALESCE] : e->payload;
		r->v[JSON] = merge_json(r->v[JSON], json_of(e->payload));
	}
	accumulate(r, e->payload);
	return memcmp(before.v, r->v, ncolumns * sizeof(r->v[0])) != 0;
}
