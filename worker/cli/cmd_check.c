/*
 * cmd_check.c - "memingest check": is everything there that "run" will need? Every finding in one
 * report.
 *
 *   offline    config (all its mistakes), schema files, tables that follow from them,
 *              librdkafka: what is known against it, what it does not take of [kafka]
 *              the DSN               pg_dsn_check()
 *              what leaves this machine without TLS     core/exposed.c
 *              files of secrets that others can read    check_secrets.c
 *   --online   brokers, topics, group    kafka_check_topics()
 *              registry                  registry_ping()
 *              models of vectors         embed_once()
 *              database                  below: version, pooler, bookkeeping, rights, tables
 *              searches by nearness      catalog_search_check()
 *   --event    something else: what an event would become (check_event.c)
 *
 * A server that is out of reach ends its own section alone. Changes nothing: what is declared to
 * compare types is rolled back.
 *
 * Pooler: under pgbouncer in transaction mode two sessions of ours may get the same backend, one
 * after the other. So one session asks for its backend's pid, a second one holds a transaction open
 * meanwhile, and the first asks again: with a session per connection, its pid stays, and the
 * other's differs. Staging tables, settings and timeouts belong to a session, so that mode is
 * refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/catalog.h"
#include "cli/catalog_search.h"
#include "cli/check_event.h"
#include "cli/check_secrets.h"
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/report.h"
#include "core/exposed.h"
#include "core/mergesql.h"
#include "core/sqlname.h"
#include "core/stream.h"
#include "io/embed_call.h"
#include "io/kafka_client.h"
#include "io/pg.h"
#include "io/pg_dsn.h"
#include "io/registry.h"
#include "sqlite/asker.h"

#define KAFKA_TIMEOUT_MS 15000
#define OLDEST_SERVER 140000

struct check {
	struct cli *cli;
	struct report report;
	struct stream **streams; /* NULL where a schema is wrong */
	struct pg *pg;
};

/* --- offline --- */

static void stream_area(const struct stream_config *c, char *area, size_t size)
{
	snprintf(area, size, "stream.%s", c->name);
}

/*
 * What its author may have meant otherwise than Avro reads it: a logical type that is none, in the
 * type or beside it. For single objects also what its fingerprint is.
 */
static void describe_schema(struct check *k, const struct schema *s, const struct stream_config *c,
			    const char *file, const char *area)
{
	struct buf flaws = {0};
	char *line, *rest;
	logical_flaws(s, &flaws);
	(void)buf_cstr(&flaws);
	for (char *from = (char *)flaws.data; flaws.len && (line = strtok_r(from, "\n", &rest));
	     from = NULL)
		report_add(&k->report, REPORT_WARN, area, "%s: %s", file, line);
	buf_free(&flaws);
	if (c->format == FRAME_SINGLE_OBJECT)
		report_add(
			&k->report, REPORT_OK, area,
			"%s: fingerprint %016llx; with logical types kept, as hamba/avro has it, "
			"%016llx",
			file, (unsigned long long)schema_fingerprint(s),
			(unsigned long long)schema_fingerprint_logical(s));
}

static void describe_stream(struct check *k, const struct stream *s, const char *area)
{
	const struct table *t = s->table;
	struct buf keys = {0};
	for (size_t i = 0; i < t->nkeys; i++)
		buf_printf(&keys, "%s%s", i ? ", " : "", t->columns[i].name);
	report_add(&k->report, REPORT_OK, area, "%s: table %s, %zu columns, key (%s)",
		   s->config->schema, table_full_name(t), t->ncolumns, buf_cstr(&keys));
	buf_free(&keys);
	describe_schema(k, s->reader, s->config, s->config->schema, area);
	if (s->key_reader)
		describe_schema(k, s->key_reader, s->config, s->config->key_schema, area);
	if (s->config->on_conflict == CONFLICT_NEWER && t->version < 0)
		report_add(&k->report, REPORT_WARN, area,
			   "on_conflict = newer, but the schema names no \"version\": the last "
			   "event by offset wins");
	if (!s->config->key_schema)
		report_add(
			&k->report, REPORT_WARN, area,
			"no key_schema: messages without value (tombstones) become dead letters");
	for (size_t i = 0; i < t->ncolumns; i++)
		if (strcmp(t->columns[i].name, "_part") == 0 ||
		    strcmp(t->columns[i].name, "_op") == 0)
			report_add(&k->report, REPORT_ERROR, area,
				   "column %s: the staging table needs that name: set \"column\"",
				   t->columns[i].name);
}

/* Which models, and what of; the models themselves are asked online. */
static void describe_embeds(struct check *k, const struct stream *s, const char *area)
{
	const struct table *t = s->table;
	for (size_t i = 0; i < t->nembeds; i++)
		report_add(&k->report, REPORT_OK, area,
			   "column %s: vectors of %u dimensions are made of column %s by embed.%s, "
			   "model %s",
			   t->columns[t->embeds[i].vector].name, stream_embed_dim(s, i),
			   t->columns[t->embeds[i].text].name, s->embeds[i]->name,
			   s->embeds[i]->model);
}

/* Each topic must lead to one stream. */
static void check_topics_once(struct check *k, size_t index, const char *area)
{
	const struct config *config = k->cli->config;
	const struct stream_config *mine = &config->streams[index];
	for (size_t i = 0; i < index; i++)
		for (size_t a = 0; a < config->streams[i].ntopics; a++)
			for (size_t b = 0; b < mine->ntopics; b++)
				if (strcmp(config->streams[i].topics[a], mine->topics[b]) == 0)
					report_add(&k->report, REPORT_ERROR, area,
						   "topic %s belongs to stream.%s already",
						   mine->topics[b], config->streams[i].name);
}

static void check_streams(struct check *k)
{
	const struct config *config = k->cli->config;
	k->streams = xcalloc(config->nstreams, sizeof(struct stream *));
	for (size_t i = 0; i < config->nstreams; i++) {
		struct err err = {0};
		char area[128];
		stream_area(&config->streams[i], area, sizeof(area));
		check_topics_once(k, i, area);
		k->streams[i] = stream_new(config, i, &err);
		if (!k->streams[i]) {
			report_err(&k->report, area, &err);
			continue;
		}
		describe_stream(k, k->streams[i], area);
		describe_embeds(k, k->streams[i], area);
	}
	struct err disagree = {0};
	if (!stream_models_agree(k->streams, config->nstreams, &disagree))
		report_err(&k->report, "embed", &disagree);
}

/* Whether there is anything to connect to. A secret may be mounted elsewhere than here. */
static bool check_dsn(struct check *k)
{
	struct err err = {0};
	struct buf exposed = {0};
	bool ok = pg_dsn_check(k->cli->config, &exposed, &err);
	if (exposed.len > 0)
		report_add(&k->report, REPORT_WARN, "postgres", "%s", buf_cstr(&exposed));
	buf_free(&exposed);
	if (ok)
		return true;
	if (err.class == ERR_RETRY)
		report_add(&k->report, REPORT_WARN, "postgres", "%s", err.text);
	else
		report_err(&k->report, "postgres", &err);
	return err.class == ERR_RETRY;
}

/* With security.require_tls they are mistakes, and the config was not loaded. */
static void check_exposed(struct check *k)
{
	struct buf why = {0};
	if (exposed_kafka(k->cli->config, &why))
		report_add(&k->report, REPORT_WARN, "kafka", "%s", buf_cstr(&why));
	why.len = 0;
	if (exposed_registry(k->cli->config, &why))
		report_add(&k->report, REPORT_WARN, "registry", "%s", buf_cstr(&why));
	why.len = 0;
	if (exposed_embed(k->cli->config, &why))
		report_add(&k->report, REPORT_WARN, "embed", "%s", buf_cstr(&why));
	why.len = 0;
	if (exposed_gateway(k->cli->config, &why))
		report_add(&k->report, REPORT_WARN, "gateway", "%s", buf_cstr(&why));
	buf_free(&why);
}

/* --- Kafka and registry --- */

static void check_librdkafka(struct check *k)
{
	bool mended;
	const char *defect = kafka_defect(k->cli->config, &mended);
	report_add(&k->report, defect && !mended ? REPORT_WARN : REPORT_OK, "kafka",
		   "librdkafka %s%s%s", kafka_version(), defect ? " " : "", defect ? defect : "");
}

/* [kafka], key by key. A secret may be mounted elsewhere than here. */
static void check_settings(struct check *k)
{
	const struct config *config = k->cli->config;
	struct err err = {0};
	bool new_enough = kafka_check_library(config, &err);
	if (!new_enough)
		report_err(&k->report, "kafka", &err);
	for (size_t i = 0; i < config->nkafka; i++) {
		const struct config_pair *pair = &config->kafka[i];
		bool said = !new_enough && strcmp(pair->key, "group.protocol") == 0;
		if (said || kafka_check_setting(pair, &err))
			continue;
		if (err.class == ERR_RETRY)
			report_add(&k->report, REPORT_WARN, "kafka", "%s", err.text);
		else
			report_err(&k->report, "kafka", &err);
	}
}

static void check_kafka(struct check *k)
{
	struct buf findings = {0}, facts = {0};
	if (!kafka_check_topics(k->cli->config, &findings, &facts, KAFKA_TIMEOUT_MS)) {
		size_t before = k->report.counts[REPORT_ERROR];
		report_lines(&k->report, REPORT_ERROR, buf_cstr(&findings));
		if (strstr(buf_cstr(&findings), "no broker answers"))
			k->report.unavailable += k->report.counts[REPORT_ERROR] - before;
	}
	report_lines(&k->report, REPORT_OK, buf_cstr(&facts));
	buf_free(&findings);
	buf_free(&facts);
}

static void check_registry(struct check *k)
{
	struct err err = {0};
	if (k->cli->config->nregistry_urls == 0)
		return;
	if (registry_ping(k->cli->config, &err))
		report_add(&k->report, REPORT_OK, "registry", "%s answers",
			   k->cli->config->registry_urls[0]);
	else
		report_err(&k->report, "registry", &err);
}

/* A model is asked once, whatever number of streams it serves. */
static bool is_first_of_model(const struct check *k, size_t index, const struct embed_config *model)
{
	for (size_t i = 0; i < index; i++)
		for (size_t n = 0; k->streams[i] && n < k->streams[i]->table->nembeds; n++)
			if (k->streams[i]->embeds[n] == model)
				return false;
	return true;
}

static void check_model(struct check *k, const struct stream *s, size_t embed)
{
	static const char text[] = "Is anybody there?";
	const struct embed_config *model = s->embeds[embed];
	char area[128];
	struct buf vector = {0};
	struct err err = {0};
	int64_t begun = clock_mono_us();
	snprintf(area, sizeof(area), "embed.%s", model->name);
	if (embed_once(model, s->table->embeds[embed].prefix,
		       (struct slice){(const uint8_t *)text, sizeof(text) - 1},
		       stream_embed_dim(s, embed), false, &vector, &err))
		report_add(&k->report, REPORT_OK, area,
			   "model %s answers with %zu dimensions, in %.0f ms", model->model,
			   vector.len / 4, (double)(clock_mono_us() - begun) / US_PER_MS);
	else
		report_err(&k->report, area, &err);
	buf_free(&vector);
}

static void check_models(struct check *k)
{
	for (size_t i = 0; i < k->cli->config->nstreams; i++) {
		const struct stream *s = k->streams[i];
		for (size_t n = 0; s && n < s->table->nembeds; n++)
			if (is_first_of_model(k, i, s->embeds[n]))
				check_model(k, s, n);
	}
}

/* --- database --- */

/* False, with a finding, if the question could not be asked. */
static bool ask(struct check *k, const char *sql, const char *param, bool *answer)
{
	struct err err = {0};
	if (catalog_ask(k->pg, sql, param, answer, &err))
		return true;
	report_err(&k->report, "postgres", &err);
	return false;
}

static void check_session(struct check *k)
{
	struct err err = {0};
	struct pg_rows *rows = pg_query(
		k->pg,
		"SELECT current_setting('server_version'), current_setting('synchronous_commit'),"
		" current_user, current_database(), coalesce((SELECT extversion FROM pg_extension"
		" WHERE extname = 'vector'), 'not installed'), pg_is_in_recovery(),"
		" current_setting('server_encoding')",
		NULL, 0, &err);
	if (!rows) {
		report_err(&k->report, "postgres", &err);
		return;
	}
	const char *sync = pg_value(rows, 0, 1);
	report_add(&k->report, REPORT_OK, "postgres",
		   "PostgreSQL %s, role %s, database %s, pgvector %s", pg_value(rows, 0, 0),
		   pg_value(rows, 0, 2), pg_value(rows, 0, 3), pg_value(rows, 0, 4));
	if (strcmp(sync, "off") == 0)
		report_add(&k->report, REPORT_WARN, "postgres",
			   "synchronous_commit = off: after a crash of the server the last rows "
			   "vanish and are read "
			   "again from "
			   "Kafka");
	else
		report_add(&k->report, REPORT_OK, "postgres", "synchronous_commit = %s", sync);
	if (pg_server_version(k->pg) < OLDEST_SERVER)
		report_add(&k->report, REPORT_ERROR, "postgres",
			   "PostgreSQL %s is too old: 14 or later is needed", pg_value(rows, 0, 0));
	if (strcmp(pg_value(rows, 0, 6), "UTF8") != 0)
		report_add(&k->report, REPORT_WARN, "postgres",
			   "the database's encoding is %s: events with text that it does not have "
			   "become dead letters; in a database of encoding UTF8 they land",
			   pg_value(rows, 0, 6));
	if (pg_bool(rows, 0, 5))
		report_add(&k->report, REPORT_ERROR, "postgres",
			   "the server is a standby: give the primary, or all hosts "
			   "(target_session_attrs=read-write)");
	pg_rows_free(rows);
}

static bool backend_pid(struct pg *pg, int64_t *pid, struct err *err)
{
	struct pg_rows *rows = pg_query(pg, "SELECT pg_backend_pid()", NULL, 0, err);
	if (!rows)
		return false;
	*pid = pg_int(rows, 0, 0);
	pg_rows_free(rows);
	return true;
}

static void check_pooler(struct check *k)
{
	struct err err = {0};
	int64_t before, other, after;
	struct pg *second = NULL;
	bool ok = backend_pid(k->pg, &before, &err) &&
		  (second = pg_connect(k->cli->config, "check", -1, &err)) &&
		  pg_exec(second, "BEGIN", NULL, 0, &err) && backend_pid(second, &other, &err) &&
		  backend_pid(k->pg, &after, &err) && pg_exec(second, "ROLLBACK", NULL, 0, &err);
	if (!ok)
		report_err(&k->report, "postgres", &err);
	else if (before != after || before == other)
		report_add(&k->report, REPORT_ERROR, "postgres",
			   "a pooler shares server sessions between transactions (pgbouncer's "
			   "pool_mode = "
			   "transaction): connect "
			   "directly, or with pool_mode = session");
	pg_free(second);
}

/* Of tables that an older version made. */
static void check_books_columns(struct check *k)
{
	static const struct {
		const char *table, *column;
	} later[] = {{"memingest.batches", "skipped"},
		     {"memingest.offsets", "halted"},
		     {"memingest.batches", "embed"}};
	for (size_t i = 0; i < ARRAY_LEN(later); i++) {
		char sql[192];
		bool there;
		snprintf(sql, sizeof(sql),
			 "SELECT to_regclass($1) IS NULL OR EXISTS (SELECT FROM pg_attribute"
			 " WHERE attrelid = to_regclass($1) AND attname = '%s')",
			 later[i].column);
		if (ask(k, sql, later[i].table, &there) && !there)
			report_add(&k->report, REPORT_ERROR, "postgres",
				   "table %s lacks column %s: run \"memingest migrate\"",
				   later[i].table, later[i].column);
	}
}

static void check_books(struct check *k, const struct catalog_rights *books, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct catalog_rights *c = &books[i];
		bool there;
		if (!ask(k, "SELECT to_regclass($1) IS NOT NULL", c->table, &there))
			return;
		if (there)
			catalog_check_rights(k->pg, "postgres", c->table, c->rights, &k->report);
		else
			report_add(&k->report, REPORT_ERROR, "postgres",
				   "table %s does not exist: run \"memingest migrate\"", c->table);
	}
}

static void check_bookkeeping(struct check *k)
{
	bool temp, usage;
	if (ask(k, "SELECT has_database_privilege(current_database(), 'TEMPORARY')", NULL, &temp) &&
	    !temp)
		report_add(&k->report, REPORT_ERROR, "postgres",
			   "the role may not create temporary tables: GRANT TEMPORARY ON DATABASE");
	if (!ask(k,
		 "SELECT coalesce(has_schema_privilege(to_regnamespace('memingest'), 'USAGE'), "
		 "true)",
		 NULL, &usage))
		return;
	if (!usage) {
		report_add(&k->report, REPORT_ERROR, "postgres",
			   "the role lacks USAGE on schema memingest: see \"memingest migrate "
			   "--grants ROLE\"");
		return;
	}
	check_books(k, catalog_bookkeeping, ARRAY_LEN(catalog_bookkeeping));
	if (stream_any_embeds(k->streams, k->cli->config->nstreams))
		check_books(k, catalog_embed_books, ARRAY_LEN(catalog_embed_books));
	check_books_columns(k);
}

static bool check_types(struct check *k, const struct stream *s, const char *area)
{
	struct err err = {0};
	const struct column *column;
	if (!catalog_unknown_type(k->pg, s->table, &column, &err)) {
		report_err(&k->report, area, &err);
		return false;
	}
	if (!column)
		return true;
	report_add(
		&k->report, REPORT_ERROR, area, "column %s: PostgreSQL knows no type %s%s",
		column->name, column->type,
		catalog_is_vector(column->type)
			? ": run \"memingest migrate\", or as a superuser CREATE EXTENSION vector;"
			: "");
	return false;
}

/* What makes the table slow, or may surprise. */
static void check_traits(struct check *k, const struct stream *s, const char *area)
{
	struct err err = {0};
	struct pg_rows *rows = pg_query(k->pg, s->sql->traits, NULL, 0, &err);
	if (!rows)
		report_err(&k->report, area, &err);
	for (size_t i = 0; rows && i < pg_rows_count(rows); i++) {
		const char *what = pg_value(rows, i, 1);
		if (pg_int(rows, i, 0) == TRAIT_TIES)
			report_add(&k->report, REPORT_WARN, area,
				   "rows depend on each other (%s): events are applied one by one, "
				   "in the order of their offsets, which is several times slower",
				   what);
		else if (pg_int(rows, i, 0) == TRAIT_MISFIT)
			report_add(&k->report, REPORT_ERROR, area, "%s", what);
		else if (pg_int(rows, i, 0) == TRAIT_RISK)
			report_add(&k->report, REPORT_WARN, area, "%s", what);
	}
	pg_rows_free(rows);
}

/* Sums are the one rule that does not bear an event twice. */
static const char *summed_column(const struct table *t)
{
	for (size_t i = 0; i < t->ncolumns; i++)
		if (t->columns[i].merge == MERGE_ADD)
			return t->columns[i].name;
	return NULL;
}

#define CONSUMED(offsets, same_topic)                                                              \
	"SELECT pipeline, topic, sum(next_offset) FROM " offsets                                   \
	" WHERE pipeline <> $1 AND " same_topic " GROUP BY 1, 2 HAVING sum(next_offset) > 0"

/* Another pipeline, or this one under a former group.id, may have written the same events. */
static void check_consumed(struct check *k, struct asker *a, const struct stream *s,
			   const char *area)
{
	static const struct asker_sql sql = {
		CONSUMED("memingest.offsets",
			 "CASE WHEN $2 LIKE '^%' THEN topic ~ $2 ELSE topic = $2 END"),
		CONSUMED("memingest_offsets", "topic = $2")};
	const char *summed = summed_column(s->table);
	struct err err = {0};
	for (size_t i = 0; summed && i < s->config->ntopics; i++) {
		const char *params[] = {k->cli->config->group_id, s->config->topics[i]};
		struct answer *rows = asker_query(a, sql, params, 2, &err);
		if (!rows)
			return; /* no table, no right: said already */
		for (size_t row = 0; row < answer_count(rows); row++)
			report_add(&k->report, REPORT_WARN, area,
				   "pipeline %s (kafka.group.id) has consumed topic %s into this "
				   "database as well (its offsets add up to %s): if into table %s, "
				   "column %s adds its events twice",
				   answer_value(rows, row, 0), answer_value(rows, row, 1),
				   answer_value(rows, row, 2), table_full_name(s->table), summed);
		answer_free(rows);
	}
}

static void check_table(struct check *k, const struct stream *s, const char *area)
{
	struct err err = {0};
	struct catalog c;
	struct buf name = {0};
	if (!check_types(k, s, area))
		return;
	bool ok = pg_exec(k->pg, "BEGIN", NULL, 0, &err) && catalog_read(k->pg, s->table, &c, &err);
	if (!ok)
		report_err(&k->report, area, &err);
	if (!pg_exec(k->pg, "ROLLBACK", NULL, 0, &err) && ok)
		report_err(&k->report, area, &err);
	if (!ok)
		return;
	if (catalog_compare(s->table, &c, area, true, &k->report) == 0)
		report_add(&k->report, REPORT_OK, area, "table %s fits the schema",
			   table_full_name(s->table));
	bool there = c.exists;
	catalog_free(&c);
	sqlname_table(s->table, &name);
	if (there) {
		catalog_check_rights(k->pg, area, buf_cstr(&name), catalog_table_rights,
				     &k->report);
		check_traits(k, s, area);
	}
	buf_free(&name);
	struct asker asker = asker_of(k->pg);
	check_consumed(k, &asker, s, area);
}

static bool is_searched(const struct check *k)
{
	for (size_t i = 0; i < k->cli->config->nstreams; i++)
		if (k->streams[i] && k->streams[i]->table->nsearches > 0)
			return true;
	return false;
}

static void check_searches(struct check *k, const struct stream *s, const char *area)
{
	for (size_t i = 0; i < s->table->nsearches; i++)
		catalog_search_check(k->pg, k->cli->config, s->searches[i], area, &k->report);
	if (s->front)
		catalog_search_check_front(k->pg, s->front, area, &k->report);
}

static void check_postgres(struct check *k)
{
	struct err err = {0};
	k->pg = pg_connect(k->cli->config, "check", -1, &err);
	if (!k->pg) {
		report_err(&k->report, "postgres", &err);
		return;
	}
	check_session(k);
	check_pooler(k);
	check_bookkeeping(k);
	bool searched =
		is_searched(k) && catalog_search_check_server(k->pg, k->cli->config, &k->report);
	for (size_t i = 0; i < k->cli->config->nstreams && pg_ok(k->pg); i++) {
		char area[128];
		stream_area(&k->cli->config->streams[i], area, sizeof(area));
		if (k->streams[i])
			check_table(k, k->streams[i], area);
		if (k->streams[i] && searched)
			check_searches(k, k->streams[i], area);
	}
}

static void check_file(struct check *k)
{
	struct asker asker;
	char area[128];
	if (!sqlite_check(k->cli->config, k->streams, &asker, &k->report))
		return;
	for (size_t i = 0; i < k->cli->config->nstreams; i++) {
		stream_area(&k->cli->config->streams[i], area, sizeof(area));
		if (k->streams[i])
			check_consumed(k, &asker, k->streams[i], area);
	}
	asker_close(&asker);
}

/* --- command --- */

static int run_report(struct cli *cli)
{
	struct check k = {.cli = cli};
	struct err err = {0};
	struct buf findings = {0};
	char *rest;
	bool loaded = cli_load_config(cli, &findings, &err);
	(void)buf_cstr(&findings);
	if (loaded) {
		report_add(&k.report, REPORT_OK, "config", "%s",
			   cli->config->path ? cli->config->path : "no file");
		check_librdkafka(&k);
		check_settings(&k);
		sqlite_check_extension(cli->config, &k.report);
		check_streams(&k);
		check_exposed(&k);
		check_secrets(cli->config, &k.report);
		bool sqlite = cli->config->sqlite_path, dsn = !sqlite && check_dsn(&k);
		if (cli_flag(cli, "online")) {
			check_kafka(&k);
			check_registry(&k);
			check_models(&k);
			if (dsn)
				check_postgres(&k);
			if (sqlite)
				check_file(&k);
		}
	} else if (findings.len) {
		for (char *line = strtok_r((char *)findings.data, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest))
			report_add(&k.report, REPORT_ERROR, "config", "%s", line);
	} else {
		report_err(&k.report, "config", &err);
	}
	report_print(&k.report, cli);
	int code = report_exit_code(&k.report);
	for (size_t i = 0; k.streams && i < cli->config->nstreams; i++)
		stream_free(k.streams[i]);
	free(k.streams);
	pg_free(k.pg);
	buf_free(&findings);
	report_free(&k.report);
	return code;
}

/* The report, or a trial of events. */
static int run(struct cli *cli)
{
	const char *event = cli_option(cli, "event", NULL),
		   *stream = cli_option(cli, "stream", NULL);
	if (stream && !event)
		return cli_fail(EXIT_USAGE, "--stream says whose event it is: give --event, too");
	if (event && cli_flag(cli, "online"))
		return cli_fail(EXIT_USAGE, "--event asks no server: leave --online out");
	if (!event)
		return run_report(cli);
	return cli_need_config(cli) ? check_event(cli, event, stream) : EXIT_CONFIG;
}

static const struct cli_option options[] = {
	{"online", NULL, "also ask the brokers, the registry and the database"},
	{"event", "FILE",
	 "what would these events become? JSON or Avro, - for standard input; asks no server"},
	{"stream", "NAME", "with --event: the stream, if there are several"},
	{NULL, NULL, NULL},
};

const struct command command_check = {
	.name = "check",
	.usage = "[--online | --event FILE [--stream NAME]]",
	.summary = "check config and schemas; --online also brokers, topics, registry and database",
	.help = "Reports every finding at once, as lines or (--json) as one object. Offline it "
		"reads the config and "
		"the schema files.\n"
		"Online it also asks the brokers for the topics, the registry for an answer, and "
		"the database for the "
		"bookkeeping,\n"
		"the role's rights and each stream's table, column by column. Changes nothing. "
		"Exit 78 when something "
		"has to be\n"
		"changed, 69 when all that is wrong is a server out of reach.\n"
		"With --event it prints the row that each event of a file would become, column by "
		"column, and what it does\n"
		"to a row that is there; or why it would be a dead letter (exit 65). What only the "
		"table can refuse, as a\n"
		"CHECK or a trigger, is not known without a server.",
	.wants_config = false,
	.no_arguments = true,
	.options = options,
	.run = run,
};
