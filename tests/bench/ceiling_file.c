/*
 * ceiling_file.c - how fast SQLite takes the rows when nothing else is asked of the client.
 *
 *   before the clock   events --decode--> batch --form_bind()--> values as SQLite has them
 *   on the clock       BEGIN IMMEDIATE; for each row: find, insert; COMMIT
 *
 * The rows are those of ceiling.c, and the statements, the connection's settings and the file are
 * the worker's ("memingest migrate" has made it). What is left out is everything that a worker does
 * on top: reading, decoding, turning values into their form, offsets, bookkeeping.
 *
 *   ceiling_file -c CONFIG [--events N] [--batch N] [--shuffled]
 *
 * Prints JSON: rows a second of time that passed, and of CPU time. Thread: the main one. Failure
 * ends the program with a message.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "events.h"
#include "procfs.h"
#include "sqlite/db.h"
#include "sqlite/form.h"
#include "sqlite/tablesql.h"

struct options {
	const char *config;
	size_t batch;
	struct events_request events;
};

struct ceiling {
	struct db db, memory; /* memory: where values get their form */
	const struct table *table;
	struct tablesql *sql;
	sqlite3_stmt *find, *insert;
	sqlite3_value **values; /* by row and column */
	size_t rows;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "ceiling_file: %s: %s\n", what, why);
	exit(70);
}

/* --- before the clock --- */

/* SELECT ?1, ?2, ... */
static sqlite3_stmt *echo(struct ceiling *c)
{
	struct buf sql = {0};
	struct err err = {0};
	for (size_t i = 0; i < c->table->ncolumns; i++)
		buf_printf(&sql, "%s?%zu", i ? ", " : "SELECT ", i + 1);
	sqlite3_stmt *stmt = db_prepare(&c->memory, buf_cstr(&sql), &err);
	if (!stmt)
		die("SQLite", err.text);
	buf_free(&sql);
	return stmt;
}

static void encode_row(struct ceiling *c, sqlite3_stmt *echoing, const struct batch_row *row)
{
	struct buf scratch = {0};
	const uint8_t *p = row->data.data;
	size_t n = c->table->ncolumns;
	buf_grow(&scratch, 2 * row->data.len);
	for (size_t i = 0; i < n; i++) {
		uint32_t len = get_be32(p);
		bool null = len == UINT32_MAX;
		p += 4;
		form_bind(echoing, (int)i + 1, &c->table->columns[i],
			  (struct slice){null ? NULL : p, null ? 0 : len}, &scratch);
		p += null ? 0 : len;
	}
	if (sqlite3_step(echoing) != SQLITE_ROW)
		die("SQLite", sqlite3_errmsg(c->memory.handle));
	for (size_t i = 0; i < n; i++)
		c->values[c->rows * n + i] =
			sqlite3_value_dup(sqlite3_column_value(echoing, (int)i));
	c->rows++;
	sqlite3_reset(echoing);
	buf_free(&scratch);
}

static void encode_all(struct ceiling *c, const struct options *o, struct events *events)
{
	struct batch *b = batch_new(o->batch, 1 << 20);
	sqlite3_stmt *echoing = echo(c);
	c->values = xcalloc(events->n * c->table->ncolumns, sizeof(struct sqlite3_value *));
	for (size_t from = 0; from < events->n; from += o->batch) {
		events_decode(events, from, MIN(o->batch, events->n - from), b);
		arrange_in_order(b);
		for (size_t i = 0; i < b->narranged; i++)
			encode_row(c, echoing, &b->arranged[i]);
	}
	batch_free(b);
}

static void open_file(struct ceiling *c)
{
	struct err err = {0};
	if (!db_open(&c->db, events_file(), DB_EXISTING, -1, &err) ||
	    !db_open(&c->memory, ":memory:", DB_CREATE, -1, &err) ||
	    !(c->find = db_prepare(&c->db, c->sql->find, &err)) ||
	    !(c->insert = db_prepare(&c->db, c->sql->insert, &err)))
		die("SQLite", err.text);
}

/* --- on the clock --- */

static void bind(sqlite3_stmt *stmt, sqlite3_value *const *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sqlite3_value *v = values[i];
		int at = (int)i + 1, len = sqlite3_value_bytes(v);
		switch (sqlite3_value_type(v)) {
		case SQLITE_INTEGER:
			sqlite3_bind_int64(stmt, at, sqlite3_value_int64(v));
			break;
		case SQLITE_TEXT:
			sqlite3_bind_text(stmt, at, (const char *)sqlite3_value_text(v), len,
					  SQLITE_STATIC);
			break;
		case SQLITE_BLOB:
			sqlite3_bind_blob(stmt, at, sqlite3_value_blob(v), len, SQLITE_STATIC);
			break;
		case SQLITE_NULL:
			sqlite3_bind_null(stmt, at);
			break;
		default:
			sqlite3_bind_double(stmt, at, sqlite3_value_double(v));
		}
	}
}

static void run(struct ceiling *c, sqlite3_stmt *stmt, int wanted)
{
	if (sqlite3_step(stmt) != wanted)
		die("SQLite", sqlite3_errmsg(c->db.handle));
	sqlite3_reset(stmt);
}

static void write_row(struct ceiling *c, size_t row, int64_t now_us)
{
	sqlite3_value *const *values = &c->values[row * c->table->ncolumns];
	bind(c->find, values, c->table->nkeys);
	run(c, c->find, SQLITE_DONE);
	bind(c->insert, values, c->table->ncolumns);
	sqlite3_bind_int64(c->insert, c->sql->now, now_us);
	run(c, c->insert, SQLITE_DONE);
}

static void write_all(struct ceiling *c, size_t batch)
{
	struct err err = {0};
	for (size_t from = 0; from < c->rows; from += batch) {
		int64_t now_us = clock_wall_us();
		if (!db_exec(&c->db, "BEGIN IMMEDIATE", &err))
			die("SQLite", err.text);
		for (size_t i = from; i < MIN(from + batch, c->rows); i++)
			write_row(c, i, now_us);
		if (!db_exec(&c->db, "COMMIT", &err))
			die("SQLite", err.text);
	}
}

static int64_t own_cpu_us(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * US_PER_S + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

static void measure(struct ceiling *c, size_t batch)
{
	int64_t cpu_us = own_cpu_us(), from_us = clock_mono_us();
	write_all(c, batch);
	cpu_us = own_cpu_us() - cpu_us;
	double seconds = (double)(clock_mono_us() - from_us) / (double)US_PER_S;
	printf("{\"rows\": %zu, \"rows_per_s\": %.1f, \"cpu_us\": %.3f}\n", c->rows,
	       (double)c->rows / seconds, (double)cpu_us / (double)c->rows);
}

/* --- command line --- */

static size_t number(const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);
	if (*end || end == text || n <= 0)
		die(text, "is no number");
	return (size_t)n;
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{"events", 1, 0, 'n'}, {"batch", 1, 0, 'b'}, {"shuffled", 0, 0, 'R'}, {0}};
	int c;
	while ((c = getopt_long(argc, argv, "c:", known, NULL)) != -1) {
		if (c == 'c')
			o->config = optarg;
		else if (c == 'n')
			o->events.count = number(optarg);
		else if (c == 'b')
			o->batch = number(optarg);
		else if (c == 'R')
			o->events.shuffled = true;
		else
			exit(64);
	}
	if (!o->config)
		die("usage", "ceiling_file -c CONFIG [--events N] [--batch N] [--shuffled]");
}

int main(int argc, char **argv)
{
	struct options o = {.batch = 5000, .events = {.count = 60000, .seed = 1}};
	struct ceiling c = {0};
	parse(argc, argv, &o);
	struct stream *stream = events_open(o.config, "memory");
	struct events *events = events_make(stream, &o.events);
	c.table = stream->table;
	c.sql = tablesql_new(stream->table, stream->config->on_conflict);
	open_file(&c);
	encode_all(&c, &o, events);
	events_free(events);
	measure(&c, o.batch);
	for (size_t i = 0; i < c.rows * c.table->ncolumns; i++)
		sqlite3_value_free(c.values[i]);
	free(c.values);
	tablesql_free(c.sql);
	db_close(&c.memory);
	db_close(&c.db);
	events_close();
	return 0;
}
