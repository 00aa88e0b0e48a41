/*
 * ceiling.c - how fast PostgreSQL takes the rows when nothing else is asked of the client.
 *
 *   before the clock   events --decode--> batches --arrange--> COPY bytes of each, in memory
 *   on the clock       per connection and batch, in three round trips:
 *                      BEGIN; COPY stage  |  bytes  |  merge; COMMIT
 *
 * The rows are those that "memingest produce" puts into a topic with the same seed, made by the
 * same code, folded and sorted by key like the worker's, and they go through the same SQL. What is
 * left out is everything that a worker does on top: Kafka, decoding, offsets, bookkeeping. It
 * speaks libpq directly and in blocking calls, so that what worker/io/pg.c costs shows as well.
 *
 * Several connections deal the events out among them one by one, as partitions do with keys: a
 * lane's rows are not neighbours in the index, but lie between those of another lane. Each
 * connection writes its own batches, so none waits for another. --plan direct copies into the table
 * itself: the least that PostgreSQL can be asked for; it fails on the first key that is there
 * already.
 *
 * Rates count from the end of the first transaction to the end of the last, as they are taken from
 * memingest.batches for the worker. CPU of the database is that of the postmaster's process tree
 * over the whole run, per row of the whole run.
 *
 * Threads: one per connection; each has its part of the batches, which do not change any more.
 * Failure: any error ends the program with a message.
 */
#include <getopt.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "events.h"
#include "procfs.h"

#define CHUNK_BYTES (size_t)(256 * 1024)
#define MAX_CONNECTIONS 16

struct options {
	const char *config, *stream;
	size_t batch, connections;
	struct events_request events;
	int postmaster;
	bool direct;
};

struct load {
	struct buf copy; /* header, rows, trailer */
	size_t rows, connection;
	int64_t done_us; /* when its COMMIT was answered */
};

struct run {
	const struct options *options;
	struct stream *stream;
	struct load *loads;
	size_t nloads; /* of all connections, one's after the other's */
	atomic_size_t connected;
	pthread_barrier_t ready;
	char *begin, *finish;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "ceiling: %s: %s\n", what, why);
	exit(70);
}

/* --- before the clock --- */

static void put_row(struct buf *out, const struct stream *s, const struct batch_row *row,
		    bool direct)
{
	buf_be16(out, (uint16_t)(s->table->ncolumns + (direct ? 0 : MERGESQL_STAGE_COLUMNS)));
	if (!direct) {
		buf_be32(out, 2);
		buf_be16(out, 0);
		buf_be32(out, 1);
		buf_u8(out, 'U');
	}
	buf_put(out, row->data.data, row->data.len);
}

static void encode_batch(struct run *r, const struct batch *b, struct load *load)
{
	static const char header[19] = "PGCOPY\n\377\r\n\0";
	buf_put(&load->copy, header, sizeof(header));
	if (b->nrounds != 1)
		die("events", "a batch needs more than one round; only upserts of plain streams "
			      "are measured here");
	for (size_t i = 0; i < b->narranged; i++)
		put_row(&load->copy, r->stream, &b->arranged[i], r->options->direct);
	buf_be16(&load->copy, UINT16_MAX);
	load->rows = b->nevents;
}

/* Events of connection c: each c-th of them. */
static size_t share(const struct run *r, size_t events, size_t c)
{
	return events / r->options->connections + (c < events % r->options->connections);
}

static void encode_all(struct run *r, struct events *events)
{
	size_t size = r->options->batch, from = 0;
	struct fold_rules rules = fold_rules(r->stream->table, r->stream->config->on_conflict);
	struct batch *b = batch_new(size, 1 << 20);
	events_deal(events, r->options->connections);
	r->loads = xcalloc(events->n / size + r->options->connections, sizeof(*r->loads));
	for (size_t c = 0; c < r->options->connections; c++) {
		size_t end = from + share(r, events->n, c);
		for (; from < end; from += MIN(size, end - from)) {
			events_decode(events, from, MIN(size, end - from), b);
			arrange_folded(b, &rules);
			r->loads[r->nloads].connection = c;
			encode_batch(r, b, &r->loads[r->nloads++]);
		}
	}
	batch_free(b);
}

static void make_sql(struct run *r)
{
	const struct mergesql *sql = r->stream->sql;
	if (r->options->direct) {
		if (!sql->copy_direct)
			die("stream", "its table takes no COPY, a column has to be cast");
		r->begin = xasprintf("BEGIN; %s", sql->copy_direct);
		r->finish = xstrdup("COMMIT");
	} else {
		r->begin = xasprintf("BEGIN; %s", sql->copy_stage);
		r->finish = xasprintf("%s; COMMIT", sql->merge_upsert);
	}
}

/* --- on the clock --- */

/* Takes every result; the last status must be the one that is wanted. */
static void take_results(PGconn *conn, ExecStatusType wanted)
{
	ExecStatusType status = PGRES_FATAL_ERROR;
	PGresult *res;
	while ((res = PQgetResult(conn))) {
		status = PQresultStatus(res);
		PQclear(res);
		if (status == PGRES_COPY_IN || status == PGRES_FATAL_ERROR)
			break;
	}
	if (status != wanted)
		die("database", PQerrorMessage(conn));
}

static void query(PGconn *conn, const char *sql, ExecStatusType wanted)
{
	if (!PQsendQuery(conn, sql))
		die("database", PQerrorMessage(conn));
	take_results(conn, wanted);
}

static void write_load(const struct run *r, PGconn *conn, struct load *load)
{
	query(conn, r->begin, PGRES_COPY_IN);
	for (size_t at = 0; at < load->copy.len; at += CHUNK_BYTES) {
		size_t len = MIN(CHUNK_BYTES, load->copy.len - at);
		if (PQputCopyData(conn, (const char *)load->copy.data + at, (int)len) != 1)
			die("COPY", PQerrorMessage(conn));
	}
	if (PQputCopyEnd(conn, NULL) != 1)
		die("COPY", PQerrorMessage(conn));
	take_results(conn, PGRES_COMMAND_OK);
	query(conn, r->finish, PGRES_COMMAND_OK);
	load->done_us = clock_mono_us();
}

static void *write_all(void *arg)
{
	struct run *r = arg;
	PGconn *conn = PQconnectdb(events_dsn());
	if (PQstatus(conn) != CONNECTION_OK)
		die("connect", PQerrorMessage(conn));
	query(conn, "SET jit = off; SET temp_buffers = '32MB'; SET client_min_messages = warning",
	      PGRES_COMMAND_OK);
	query(conn, r->stream->sql->create_stage, PGRES_COMMAND_OK);
	pthread_barrier_wait(&r->ready);
	pthread_barrier_wait(&r->ready);
	size_t c = atomic_fetch_add(&r->connected, 1);
	for (size_t i = 0; i < r->nloads; i++)
		if (r->loads[i].connection == c)
			write_load(r, conn, &r->loads[i]);
	PQfinish(conn);
	return NULL;
}

static int64_t own_cpu_us(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * US_PER_S + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

static void report(const struct run *r, int64_t own_us, int64_t database_us)
{
	size_t rows = 0, bytes = 0, first = 0;
	int64_t last_us = 0;
	for (size_t i = 0; i < r->nloads; i++) {
		rows += r->loads[i].rows;
		bytes += r->loads[i].copy.len;
		last_us = MAX(last_us, r->loads[i].done_us);
		if (r->loads[i].done_us < r->loads[first].done_us)
			first = i;
	}
	double seconds = (double)(last_us - r->loads[first].done_us) / 1e6;
	double timed = (double)(rows - r->loads[first].rows);
	printf("{\"rows\": %zu, \"batch\": %zu, \"connections\": %zu, \"plan\": \"%s\", "
	       "\"row_bytes\": %.1f, "
	       "\"seconds\": %.4f, \"rows_per_s\": %.1f, \"client_us\": %.3f, \"database_us\": "
	       "%.3f, \"peak_kib\": "
	       "%lld}\n",
	       rows, r->options->batch, r->options->connections,
	       r->options->direct ? "direct" : "stage", (double)bytes / (double)rows, seconds,
	       seconds > 0 ? timed / seconds : 0, (double)own_us / (double)rows,
	       (double)database_us / (double)rows, (long long)procfs_peak_kib());
}

static void measure(struct run *r)
{
	pthread_t threads[MAX_CONNECTIONS];
	size_t n = r->options->connections;
	pthread_barrier_init(&r->ready, NULL, (unsigned)n + 1);
	for (size_t i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, write_all, r) != 0)
			die("thread", "cannot be started");
	pthread_barrier_wait(&r->ready); /* all are connected */
	int64_t own = own_cpu_us(), database = procfs_tree_cpu_us(r->options->postmaster);
	pthread_barrier_wait(&r->ready);
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	report(r, own_cpu_us() - own, procfs_tree_cpu_us(r->options->postmaster) - database);
	pthread_barrier_destroy(&r->ready);
}

/* --- command line --- */

static size_t number(const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);
	if (*end || end == text || n < 0)
		die(text, "is no number");
	return (size_t)n;
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{"config", 1, 0, 'c'},
		{"stream", 1, 0, 's'},
		{"events", 1, 0, 'n'},
		{"seed", 1, 0, 'S'},
		{"keys", 1, 0, 'k'},
		{"batch", 1, 0, 'b'},
		{"connections", 1, 0, 'C'},
		{"postmaster", 1, 0, 'p'},
		{"plan", 1, 0, 'P'},
		{"shuffled", 0, 0, 'R'},
		{0},
	};
	int c;
	while ((c = getopt_long(argc, argv, "c:", known, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 's':
			o->stream = optarg;
			break;
		case 'n':
			o->events.count = number(optarg);
			break;
		case 'S':
			o->events.seed = number(optarg);
			break;
		case 'k':
			o->events.keys = number(optarg);
			break;
		case 'b':
			o->batch = number(optarg);
			break;
		case 'C':
			o->connections = number(optarg);
			break;
		case 'p':
			o->postmaster = (int)number(optarg);
			break;
		case 'P':
			o->direct = optarg[0] == 'd';
			break;
		case 'R':
			o->events.shuffled = true;
			break;
		default:
			exit(64);
		}
	}
	if (!o->config || o->batch == 0 || o->connections == 0 || o->connections > MAX_CONNECTIONS)
		die("usage",
		    "ceiling -c FILE [--stream NAME] [--events N] [--keys N] [--seed N] [--batch "
		    "N] "
		    "[--connections N] [--postmaster PID] [--plan stage|direct] [--shuffled]");
}

int main(int argc, char **argv)
{
	struct options o = {.stream = "memory",
			    .batch = 5000,
			    .connections = 1,
			    .events = {.count = 100000, .seed = 1},
			    .postmaster = getpid()};
	parse(argc, argv, &o);
	struct run r = {.options = &o, .stream = events_open(o.config, o.stream)};
	struct events *events = events_make(r.stream, &o.events);
	encode_all(&r, events);
	events_free(events);
	make_sql(&r);
	measure(&r);
	for (size_t i = 0; i < r.nloads; i++)
		buf_free(&r.loads[i].copy);
	free(r.loads);
	free(r.begin);
	free(r.finish);
	events_close();
	return 0;
}
