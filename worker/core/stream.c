/*
 * stream.c - from a section [stream.NAME] to everything that handling its events takes.
 *
 *   config -> .avsc files -> reader schema -> table -> SQL
 *                                         \-> plans, one per writer schema and use, when first met
 *
 * All but the plans is made at start and never changes, so lanes read it without a lock. The plans
 * are the poll thread's. A writer schema that does not resolve to ours is remembered as well, with
 * the reason: the partition that met it pauses, and is asked about again at every message, which
 * must not compile each time.
 *
 * The cache is a short array (a topic has a handful of writer schemas alive at once) whose last hit
 * moves to the front.
 */
#include "core/stream.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stats.h"
#include "codec/reason.h"

/* --- life --- */

/* A relative path that leads nowhere was looked for in three places: see config.h. */
static struct schema *read_schema(const char *path, struct err *err)
{
	if (path[0] == '/' || access(path, F_OK) == 0 || errno != ENOENT)
		return schema_read(path, err);
	err_set(err, ERR_CONFIG,
		"%s: No such file; it was looked for beside the config, in the working directory, "
		"and in share/memingest beside the program's bin",
		path);
	return NULL;
}

/* The key's columns must be found in the key schema, else no tombstone could ever be applied. */
static bool load_key_schema(struct stream *s, struct err *err)
{
	if (!s->config->key_schema)
		return true;
	s->key_reader = read_schema(s->config->key_schema, err);
	if (!s->key_reader)
		return false;
	struct plan *plan = plan_new_key(s->key_reader, s->table, NULL, err);
	if (!plan)
		return err_wrap(err, "%s", s->config->key_schema);
	plan_free(plan);
	return true;
}

/* The same rows by the same rules, elsewhere, and nobody searches there. */
static void stand_in(struct table *t, const char *name)
{
	t->schema = "memingest";
	t->name = name;
	t->stands_in = true;
	t->nsearches = 0;
	t->nembeds = 0; /* what a model made can not be made again to be compared */
}

/* What the schema's vectors are made by stands in the config. */
static bool find_models(struct stream *s, const struct config *config, struct err *err)
{
	for (size_t i = 0; i < s->table->nembeds; i++) {
		const struct table_embed *embed = &s->table->embeds[i];
		s->embeds[i] = config_embed(config, embed->model);
		if (!s->embeds[i])
			return err_set(err, ERR_CONFIG,
				       "%s: pg.embed.model \"%s\" of column %s names no section: "
				       "write [embed.%s] with its url",
				       s->config->schema, embed->model,
				       s->table->columns[embed->vector].name, embed->model);
	}
	return true;
}

/* What is wrong with the schema is said with its file's name. */
struct stream *stream_new(const struct config *config, size_t index, struct err *err)
{
	struct stream *s = xcalloc(1, sizeof(*s));
	s->index = index;
	s->config = &config->streams[index];
	s->reader = read_schema(s->config->schema, err);
	if (!s->reader)
		goto fail;
	s->table = table_new(s->reader, err);
	if (!s->table) {
		err_wrap(err, "%s", s->config->schema);
		goto fail;
	}
	if (s->config->stand_in)
		stand_in(s->table, s->config->stand_in);
	if (!load_key_schema(s, err) || !find_models(s, config, err))
		goto fail;
	s->sql = mergesql_new(s->config->name, s->table, s->config->on_conflict);
	for (size_t i = 0; i < s->table->nsearches; i++)
		s->searches[i] = searchsql_new(s->table, i);
	s->front = searchsql_new_front(s->table);
	return s;
fail:
	err_wrap(err, "stream.%s", s->config->name);
	stream_free(s);
	return NULL;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nplans; i++) {
		plan_free(s->plans[i].plan);
		free(s->plans[i].error);
	}
	free(s->plans);
	mergesql_free(s->sql);
	for (size_t i = 0; i < TABLE_SEARCHES_MOST; i++)
		searchsql_free(s->searches[i]);
	searchsql_free(s->front);
	table_free(s->table);
	schema_free(s->key_reader);
	schema_free(s->reader);
	free(s);
}

uint32_t stream_embed_dim(const struct stream *s, size_t embed)
{
	return s->table->columns[s->table->embeds[embed].vector].dim;
}

/* A model that both have is to make vectors of one dimension. */
static bool models_agree(const struct stream *a, const struct stream *b, struct err *err)
{
	for (size_t i = 0; i < a->table->nembeds; i++)
		for (size_t k = 0; k < b->table->nembeds; k++) {
			uint32_t x = stream_embed_dim(a, i), y = stream_embed_dim(b, k);
			if (a->embeds[i] == b->embeds[k] && x != y)
				return err_set(
					err, ERR_CONFIG,
					"stream.%s wants vectors of %u dimensions and stream.%s of "
					"%u, both from embed.%s: a model makes vectors of one",
					a->config->name, x, b->config->name, y, a->embeds[i]->name);
		}
	return true;
}

bool stream_models_agree(struct stream *const *streams, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (streams[k] && streams[i] && !models_agree(streams[k], streams[i], err))
				return false;
	return true;
}

bool stream_any_embeds(struct stream *const *streams, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (streams[i] && streams[i]->table->nembeds > 0)
			return true;
	return false;
}

/* --- plans --- */

/* Moves the hit to the front. */
static struct stream_plan *find_plan(struct stream *s, const struct schema_id *id, bool key)
{
	for (size_t i = 0; i < s->nplans; i++) {
		struct stream_plan found = s->plans[i];
		if (found.key != key || !schema_id_equal(&found.id, id))
			continue;
		s->plans[i] = s->plans[0];
		s->plans[0] = found;
		return &s->plans[0];
	}
	return NULL;
}

/* True also of a writer that does not resolve: *plan is NULL then. */
bool stream_plan_cached(struct stream *s, const struct schema_id *id, bool key,
			const struct plan **plan, struct err *err)
{
	struct stream_plan *found = find_plan(s, id, key);
	if (!found)
		return false;
	*plan = found->plan;
	if (!found->plan)
		err_set(err, ERR_CONFIG, "%s", found->error);
	return true;
}

/* Failures too: they are asked for at every message. */
static void remember(struct stream *s, const struct schema_id *id, bool key, struct plan *plan,
		     const struct err *err)
{
	s->plans = xrealloc(s->plans, (s->nplans + 1) * sizeof(*s->plans));
	s->plans[s->nplans++] = (struct stream_plan){
		.id = *id,
		.key = key,
		.plan = plan,
		.error = plan ? NULL : xstrdup(err->text),
	};
}

/* The error is one of the config: the schemas have to change, not the event. */
const struct plan *stream_plan(struct stream *s, const struct schema_id *id, bool key,
			       const struct schema *writer, struct err *err)
{
	char text[SCHEMA_ID_TEXT];
	const struct plan *cached;
	if (stream_plan_cached(s, id, key, &cached, err))
		return cached;
	struct plan *plan = key ? plan_new_key(writer, s->table, s->key_reader, err)
				: plan_new(writer, s->table, err);
	schema_id_text(id, text);
	if (!plan) {
		err->class = ERR_CONFIG;
		err_wrap(err, "stream.%s: %s schema (%s) does not fit", s->config->name,
			 key ? "key" : "writer", text);
	} else if (plan_note(plan)) {
		log_warn("a writer may write what the stream cannot take",
			 F_STR("stream", s->config->name), F_STR("schema", text),
			 F_STR("note", plan_note(plan)));
	}
	remember(s, id, key, plan, err);
	return plan;
}

/* --- topics --- */

/* As librdkafka reads "^...": an extended POSIX expression, not anchored at the end. */
bool stream_topic_matches(const char *pattern, const char *topic)
{
	if (pattern[0] != '^')
		return strcmp(pattern, topic) == 0;
	regex_t re;
	int rc = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);
	if (rc == 0) {
		rc = regexec(&re, topic, 0, NULL, 0);
		regfree(&re);
	}
	if (rc == REG_ESPACE) /* "no match" would make it the topic of another stream, or of none */
		mem_exhausted();
	return rc == 0;
}

/* Either by names or by patterns. */
static bool names_topic(const struct stream_config *c, const char *topic, bool patterns)
{
	for (size_t i = 0; i < c->ntopics; i++) {
		bool pattern = c->topics[i][0] == '^';
		if (pattern != patterns)
			continue;
		if (stream_topic_matches(c->topics[i], topic))
			return true;
	}
	return false;
}

size_t stream_of_topic(const struct config *config, const char *topic)
{
	for (int patterns = 0; patterns < 2; patterns++)
		for (size_t i = 0; i < config->nstreams; i++)
			if (names_topic(&config->streams[i], topic, patterns == 1))
				return i;
	return config->nstreams;
}

void stream_name_stats(const struct config *c)
{
	const char **names = xcalloc(c->nstreams, sizeof(*names));
	const char *reasons[REASON_COUNT];
	for (size_t i = 0; i < c->nstreams; i++)
		names[i] = c->streams[i].name;
	for (size_t i = 0; i < REASON_COUNT; i++)
		reasons[i] = dead_reason_name((enum dead_reason)i);
	stats_init(names, c->nstreams, reasons, REASON_COUNT);
	free(names);
}
