/*
 * stream.h - one stream of the config, ready to use: schemas, table, SQL, and decoder plans by
 * writer schema. Read-only for the lanes; the plans are the poll thread's.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "codec/plan.h"
#include "codec/table.h"
#include "core/config.h"
#include "core/mergesql.h"
#include "core/searchsql.h"
#include "schema/schema.h"
#include "schema/schema_id.h"

struct stream_plan {
	struct schema_id id;
	bool key;
	struct plan *plan; /* NULL: incompatible, see error */
	char *error;
};

struct stream {
	size_t index; /* into config->streams and the metrics' label */
	const struct stream_config *config;
	struct schema *reader, *key_reader; /* key_reader: NULL if the config names none */
	struct table *table;
	struct mergesql *sql;
	struct searchsql *searches[TABLE_SEARCHES_MOST]; /* of table->searches, each */
	struct searchsql *front; /* NULL: fewer than two columns are searched */
	const struct embed_config *embeds[TABLE_EMBEDS_MOST]; /* the models of table->embeds */
	struct stream_plan *plans;
	size_t nplans;
};

/* Reads the schema files. NULL with class CONFIG, naming file and field. */
struct stream *stream_new(const struct config *config, size_t index, struct err *err);
void stream_free(struct stream *s); /* NULL is fine */

/* Of the vectors of that of the table's embeds. */
uint32_t stream_embed_dim(const struct stream *s, size_t embed);
/*
 * Whether streams whose vectors are made by one model want them of one dimension. False with class
 * CONFIG. NULL among them is fine.
 */
MUST_CHECK bool stream_models_agree(struct stream *const *streams, size_t n, struct err *err);
/* Whether any makes vectors of texts; NULL among them is fine. */
bool stream_any_embeds(struct stream *const *streams, size_t n);

/*
 * The plan for a writer schema: compiled at first sight, then cached. writer is borrowed for the
 * call. NULL with class CONFIG when the schemas do not resolve; that answer is cached as well. What
 * of the writer's the stream cannot take is logged. Poll thread.
 */
const struct plan *stream_plan(struct stream *s, const struct schema_id *id, bool key,
			       const struct schema *writer, struct err *err);
/* Only the cache: true when the answer is known (plan may be NULL: incompatible, err filled). */
bool stream_plan_cached(struct stream *s, const struct schema_id *id, bool key,
			const struct plan **plan, struct err *err);

/* A name, or "^regex". */
bool stream_topic_matches(const char *pattern, const char *topic);

/*
 * The stream that a topic belongs to, as an index into config->streams: the one that names it, else
 * the first with a "^regex" that matches it; config->nstreams for none.
 */
size_t stream_of_topic(const struct config *config, const char *topic);

/* stats_init() with the streams of the config: the closed lists of labels. */
void stream_name_stats(const struct config *c);
