/*
 * test_embed.c - vectors that are made of texts: each row has the vector of its own text, whatever
 * the server does, and each text is paid for once.
 *
 * The server is a stand-in whose vector of a text is a hash of it (vectors.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "system.h"
#include "vectors.h"

static int64_t rows(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM told");
}

static int64_t dead_letters(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM memingest.dead_letters");
}

/*
 * Proves: rows get the vector of their text; no text, no vector and no call; an event that brings
 * its vector keeps it; the books say what it came to.
 */
START_TEST(plain_rows)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("plain", &v);
	v->over = 7;
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 200, 0);
	vectors_tell(bed, 200, 0, "");
	vectors_tell(bed, 201, 0, NULL);
	vectors_tell_mine(bed);
	bed_flush(bed);
	bed_drain(bed, 30);
	ck_assert_int_eq(rows(bed), 203);
	ck_assert_int_eq(vectors_wrong(bed), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM told WHERE id = 'mine' AND spot = "
				      "'[1,2,3,4,5,6,7,8]'"),
			 1);
	ck_assert_int_eq(v->inputs, 200);
	ck_assert_int_le(v->most_seen, 16);
	ck_assert_int_eq(bed_int(bed, "SELECT sum((embed->>'texts')::int) FROM memingest.batches"),
			 200);
	ck_assert_int_eq(bed_int(bed, "SELECT sum((embed->>'tokens')::int) FROM memingest.batches"),
			 600 + 7 * v->requests);
	ck_assert_double_eq(worker_metric(w, "memingest_embed_texts_total", NULL), 200);
	ck_assert_double_eq(worker_metric(w, "memingest_embed_waiting_events", NULL), 0);
	ck_assert_double_ge(worker_metric(w, "memingest_embed_tokens_total", NULL), 600);
	ck_assert_double_ge(worker_metric(w, "memingest_embed_requests_total", NULL), 200 / 16);
	ck_assert_double_gt(
		worker_metric(w, "memingest_embed_request_duration_seconds_count", NULL), 0);
	ck_assert_double_gt(worker_metric(w, "memingest_embed_batch_duration_seconds_count", NULL),
			    0);
	vectors_over(bed, v, w);
}
END_TEST

/* One way to misbehave; the rest of the server is well. */
struct fault {
	const char *name;
	void (*begin)(struct vectors *v);
};

static void shuffle(struct vectors *v)
{
	v->shuffled = true;
}
static void leave_index_out(struct vectors *v)
{
	v->unindexed = true;
}
static void send_floats(struct vectors *v)
{
	v->plain = true;
}
static void send_too_few(struct vectors *v)
{
	v->shorts = 3;
}
static void repeat_an_index(struct vectors *v)
{
	v->twice = 3;
}
static void send_nan(struct vectors *v)
{
	v->nans = 3;
}
static void send_nothing(struct vectors *v)
{
	v->empties = 3;
}
static void send_errors(struct vectors *v)
{
	v->errors = 3;
}
static void be_busy(struct vectors *v)
{
	v->retry_after = 1;
	v->status = 429;
	v->failing = 6;
}
static void fail_within(struct vectors *v)
{
	v->status = 500;
	v->failing = 5;
}
static void hang_up(struct vectors *v)
{
	v->resets = 5;
}
static void take_few(struct vectors *v)
{
	v->most = 3;
}
static void be_busy_for_many(struct vectors *v)
{
	v->most = 3;
	v->too_busy = true;
}

static const struct fault faults[] = {
	{"shuffled", shuffle},
	{"no index", leave_index_out},
	{"floats", send_floats},
	{"too few", send_too_few},
	{"index twice", repeat_an_index},
	{"NaN", send_nan},
	{"no numbers", send_nothing},
	{"error in 200", send_errors},
	{"429", be_busy},
	{"500", fail_within},
	{"resets", hang_up},
	{"413", take_few},
	{"503 for many", be_busy_for_many},
};

static void behave(struct vectors *v)
{
	v->shuffled = v->unindexed = v->plain = v->too_busy = false;
	v->shorts = v->twice = v->nans = v->empties = v->errors = 0;
	v->failing = v->resets = v->most = 0;
}

/*
 * Proves: whatever an answer is like, each row has the vector of its own text, none is without, and
 * no event becomes a dead letter for what the server did; the books say what was spent in vain.
 */
START_TEST(misbehaviour)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("misbehaviour", &v);
	bed_set(bed, "embed.stub.concurrency", "2");
	struct worker *w = worker_start(bed, NULL);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		behave(v);
		faults[i].begin(v);
		vectors_tell_notes(bed, 0, 60, (int)i + 1);
		bed_drain(bed, 30);
		ck_assert_msg(vectors_wrong(bed) == 0, "%s", faults[i].name);
		ck_assert_msg(dead_letters(bed) == 0, "%s", faults[i].name);
		ck_assert_msg(v->shorts + v->twice + v->nans + v->empties + v->errors + v->failing +
					      v->resets ==
				      0,
			      "%s did not happen", faults[i].name);
	}
	double spent = worker_metric(w, "memingest_embed_spent_twice_tokens_total", NULL);
	ck_assert_double_gt(spent, 0);
	ck_assert_int_eq(bed_int(bed, "SELECT sum((embed->>'spent_twice')::bigint)::bigint"
				      " FROM memingest.batches"),
			 (int64_t)spent);
	ck_assert_int_eq(rows(bed), 60);
	vectors_over(bed, v, w);
}
END_TEST

/* Proves: a server that does not know base64 is asked without. */
START_TEST(no_base64)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("nobase64", &v);
	v->no_base64 = true;
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 40, 0);
	bed_drain(bed, 30);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	ck_assert_int_eq(v->inputs, 40);
	vectors_over(bed, v, w);
}
END_TEST

/* n events of ten different texts. */
static void tell_often(struct bed *bed, int from, int n, int version)
{
	char text[32];
	for (int i = from; i < from + n; i++) {
		snprintf(text, sizeof(text), "one of ten: %d", i % 10);
		vectors_tell(bed, i, version, text);
	}
	bed_flush(bed);
}

/*
 * Proves: a text is paid for once, however many events have it, in one batch or many, by an update
 * that leaves it as it is, and after a restart, from the database.
 */
START_TEST(paid_once)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("once", &v);
	struct worker *w = worker_start(bed, NULL);
	tell_often(bed, 0, 300, 0);
	bed_drain(bed, 30);
	tell_often(bed, 0, 300, 1);
	tell_often(bed, 300, 100, 0);
	bed_drain(bed, 30);
	ck_assert_int_eq(v->inputs, 10);
	worker_stop(w);
	w = worker_start(bed, NULL);
	tell_often(bed, 400, 100, 0);
	bed_drain(bed, 30);
	ck_assert_int_eq(v->inputs, 10);
	ck_assert_double_eq(worker_metric(w, "memingest_embed_cached_texts_total", NULL), 100);
	ck_assert_int_eq(rows(bed), 500);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	/* without the table it costs money, and no more */
	bed_sql(bed, "DROP TABLE memingest.embed_cache");
	vectors_tell_notes(bed, 0, 40, 2);
	bed_drain(bed, 30);
	ck_assert(worker_logged(w, "the cache of vectors in the database is not used for now"));
	ck_assert_int_eq(v->inputs, 50);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

/* Among others, in both partitions, three whose text the server refuses. */
static void tell_with_poison(struct bed *bed)
{
	for (int i = 0; i < 3; i++) {
		vectors_tell_notes(bed, 20 * i, 20 * i + 20, 0);
		char text[32];
		snprintf(text, sizeof(text), "%d is poison", i);
		vectors_tell(bed, 100 + i, 0, text);
	}
	vectors_tell_notes(bed, 60, 80, 0);
}

/*
 * Proves: a text that the server refuses is a dead letter with the server's words and the message
 * as it was, and its neighbours land.
 */
START_TEST(poison_is_buried)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("buried", &v);
	v->poison = "is poison";
	struct worker *w = worker_start(bed, NULL);
	tell_with_poison(bed);
	bed_drain(bed, 30);
	ck_assert_int_eq(rows(bed), 80);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	ck_assert_int_eq(dead_letters(bed), 3);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters WHERE reason = "
				      "'embed' AND detail LIKE '%%a text is too long for this "
				      "model%%' AND position('is poison'::bytea IN value) > 0"),
			 3);
	ck_assert_double_eq(worker_metric(w, "memingest_embed_refused_texts_total", NULL), 3);
	vectors_over(bed, v, w);
}
END_TEST

/* Proves: with on_poison = null its row lands without vector; a later text has one. */
START_TEST(poison_is_null)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("null", &v);
	v->poison = "is poison";
	bed_set(bed, "embed.stub.on_poison", "null");
	struct worker *w = worker_start(bed, NULL);
	tell_with_poison(bed);
	bed_drain(bed, 30);
	ck_assert_int_eq(rows(bed), 83);
	ck_assert_int_eq(dead_letters(bed), 0);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM told WHERE spot IS NULL AND note LIKE "
				      "'%%is poison'"),
			 3);
	ck_assert_int_eq(vectors_wrong(bed), 3);
	vectors_tell_notes(bed, 100, 103, 1);
	bed_drain(bed, 30);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

/* Proves: with on_poison = halt nothing passes, and all does once the server takes the text. */
START_TEST(poison_halts)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("halts", &v);
	v->poison = "is poison";
	bed_set(bed, "embed.stub.on_poison", "halt");
	struct worker *w = worker_start(bed, NULL);
	tell_with_poison(bed);
	worker_wait_log(w, "batch halted, an operator must act", 20);
	BED_WAIT(bed, 10, worker_metric(w, "memingest_halted_partitions", "told") > 0);
	ck_assert_int_eq(dead_letters(bed), 0);
	v->poison = NULL;
	bed_drain(bed, 40);
	ck_assert_int_eq(rows(bed), 83);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

/* Proves: too many refused texts are no dead letters, but halt (dlq.max_ratio). */
START_TEST(too_many_poisoned)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("toomany", &v);
	bed_set(bed, "dlq.window", "100");
	bed_set(bed, "dlq.max_ratio", "0.02");
	v->poison = "note";
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 40, 0);
	worker_wait_log(w, "batch halted, an operator must act", 30);
	ck_assert(worker_logged(w, "dlq.max_ratio"));
	v->poison = NULL;
	bed_drain(bed, 40);
	ck_assert_int_le(dead_letters(bed), 4);
	ck_assert_int_eq(rows(bed) + dead_letters(bed), 40);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

/* What /status says of a partition of the stream. */
static bool status_says(struct worker *w, const char *words)
{
	json_t *status = worker_status(w);
	char *text = json_dumps(status, 0);
	bool says = strstr(text, words) != NULL;
	free(text);
	json_decref(status);
	return says;
}

/*
 * Proves: while the server is away only the stream whose vectors it makes waits, /status says why,
 * and when it is back all goes on.
 */
START_TEST(only_its_stream_waits)
{
	struct vectors *v;
	struct bed *bed = vectors_bed("scope");
	bed_stream_files(bed, "near", 2, "tests/schemas/near_event.avsc", NULL);
	v = vectors_start(bed);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_set(bed, "batch.max_rows", "50");
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 20, 0);
	bed_drain(bed, 30);
	v->status = 503;
	v->failing = 1000000;
	vectors_tell_notes(bed, 0, 1000, 1);
	BED_WAIT(bed, 10, status_says(w, "embed.stub: status 503: not now"));
	for (int i = 0; i < 500; i++) {
		json_t *e = json_pack("{s:I, s:o}", "event_time", (json_int_t)1750000000000000,
				      "id", json_sprintf("n%d", i));
		bed_event(bed, "near", i % 2, e);
		json_decref(e);
	}
	bed_flush(bed);
	BED_WAIT(bed, 10, bed_int(bed, "SELECT count(*) FROM near") == 500);
	ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM told WHERE note LIKE '%%version 1%%'"),
			 0);
	v->failing = 0;
	bed_drain(bed, 30);
	ck_assert_int_eq(rows(bed), 1000);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	ck_assert_int_eq(dead_letters(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

static void write_key(struct bed *bed, const char *key)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/model.key", bed->dir);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%s\n", key);
	fclose(f);
	bed_set(bed, "embed.stub.key_file", "%s", path);
}

/*
 * Proves: a key that is not taken halts, with what to do, and is nowhere in the log; with the file
 * mended the running worker goes on.
 */
START_TEST(denied)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("denied", &v);
	struct buf log = {0};
	snprintf(v->key, sizeof(v->key), "open sesame");
	write_key(bed, "hush-hush");
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	vectors_tell_notes(bed, 0, 40, 0);
	worker_wait_log(w, "no vectors are made, an operator must act", 20);
	BED_WAIT(bed, 10, status_says(w, "status 401: wrong key; mend the file of key_file"));
	BED_WAIT(bed, 10, worker_metric(w, "memingest_halted_partitions", "told") > 0);
	ck_assert_int_eq(rows(bed), 0);
	write_key(bed, "open sesame");
	bed_drain(bed, 30);
	ck_assert_int_eq(rows(bed), 40);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	worker_read_log(w, &log);
	ck_assert_ptr_null(strstr(buf_cstr(&log), "hush-hush"));
	ck_assert_ptr_null(strstr(buf_cstr(&log), "sesame"));
	buf_free(&log);
	vectors_over(bed, v, w);
}
END_TEST

/*
 * Proves: the same where the key is replaced under a running worker and each request has a
 * connection of its own, which is a doubt and a refusal in one turn.
 */
START_TEST(denied_meanwhile)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("rotated", &v);
	v->closing = true;
	snprintf(v->key, sizeof(v->key), "open sesame");
	write_key(bed, "open sesame");
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 40, 0);
	bed_drain(bed, 30);
	snprintf(v->key, sizeof(v->key), "open barley");
	vectors_tell_notes(bed, 0, 40, 1);
	worker_wait_log(w, "status 401: wrong key", 20);
	write_key(bed, "open barley");
	bed_drain(bed, 30);
	ck_assert_int_eq(rows(bed), 40);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

/*
 * Proves: another model under the same name, or one of another dimension, halts before any of its
 * vectors lands; with the old one back all goes on.
 */
START_TEST(another_model)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("model", &v);
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 20, 0);
	bed_drain(bed, 30);
	worker_stop(w);
	v->salt = 1;
	w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 40, 1);
	worker_wait_log(w, "the model is not the one that made the vectors", 20);
	ck_assert_int_eq(rows(bed), 20);
	v->salt = 0;
	v->dim = 16;
	worker_wait_log(w, "have 16 dimensions, the column 8", 20);
	v->dim = VECTORS_DIM;
	bed_drain(bed, 30);
	ck_assert_int_eq(rows(bed), 40);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

/* Proves: a model that is replaced while it runs lands nothing either. */
START_TEST(replaced_meanwhile)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("replaced", &v);
	bed_set(bed, "embed.stub.max_inputs", "2");
	v->delay_ms = 20;
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 400, 0);
	BED_WAIT(bed, 20, v->inputs > 40);
	v->salt = 1;
	worker_wait_log(w, "the model is not the one that made the vectors", 20);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	v->salt = 0;
	v->delay_ms = 0;
	bed_drain(bed, 40);
	ck_assert_int_eq(rows(bed), 400);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

/*
 * Proves: killed at any time, each row has its own vector, and no more is paid twice than what was
 * under way.
 */
START_TEST(killed)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("killed", &v);
	int kills = 4;
	v->delay_ms = 30;
	bed_set(bed, "kafka.session.timeout.ms", "1500");
	vectors_tell_notes(bed, 0, 1000, 0);
	for (int i = 0; i < kills; i++) {
		struct worker *w = worker_start(bed, NULL);
		int seen = v->inputs;
		BED_WAIT(bed, 30, v->inputs > seen + 100);
		worker_kill(w);
	}
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 40);
	ck_assert_int_eq(rows(bed), 1000);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	ck_assert_int_le(v->inputs, 1000 + kills * 4 * 16);
	vectors_over(bed, v, w);
}
END_TEST

/*
 * Proves: partitions change hands while their batches wait for vectors, with the server slow and
 * with it away, and all of it lands once; SIGTERM does not wait for a server that is away.
 */
START_TEST(hands_over)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("hands", &v);
	v->delay_ms = 100;
	struct worker *first = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 600, 0);
	BED_WAIT(bed, 30, v->inputs > 50);
	struct worker *second = worker_start(bed, NULL);
	worker_ready(second);
	BED_WAIT(bed, 30, worker_metric(second, "memingest_assigned_partitions", "told") == 1);
	v->status = 503;
	v->failing = 1000000;
	vectors_tell_notes(bed, 0, 600, 1);
	BED_WAIT(bed, 20, status_says(second, "not now"));
	BED_WAIT(bed, 10, worker_metric(second, "memingest_embed_waiting_events", NULL) > 0);
	worker_stop(second);
	BED_WAIT(bed, 30, worker_metric(first, "memingest_assigned_partitions", "told") == 2);
	v->failing = 0;
	v->delay_ms = 0;
	bed_drain(bed, 40);
	ck_assert_int_eq(rows(bed), 600);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	ck_assert_int_eq(dead_letters(bed), 0);
	vectors_over(bed, v, first);
}
END_TEST

/*
 * Proves: check asks the model and says what is wrong with it; without the tables nothing lands
 * until they are there.
 */
START_TEST(checked)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("checked", &v);
	bed_write_config(bed);
	bed_expect(bed, 0, "check --online", "model stub answers with 8 dimensions");
	v->dim = 16;
	bed_expect(bed, 78, "check --online", "have 16 dimensions, the column 8");
	v->dim = VECTORS_DIM;
	snprintf(v->key, sizeof(v->key), "x");
	bed_expect(bed, 78, "check --online", "status 401: wrong key; set key_file");
	v->key[0] = '\0';
	bed_sql(bed, "DROP TABLE memingest.embed_models");
	bed_expect(bed, 78, "check --online", "memingest.embed_models does not exist");
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 20, 0);
	worker_wait_log(w, "run \\\"memingest migrate\\\"", 20);
	ck_assert_int_eq(rows(bed), 0);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_drain(bed, 30);
	ck_assert_int_eq(rows(bed), 20);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

/* Proves: vectors that nobody has asked for in cache_age go, those that are asked for stay. */
START_TEST(pruned)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("pruned", &v);
	bed_set(bed, "embed.stub.cache_age", "2d");
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 20, 0);
	bed_drain(bed, 30);
	worker_stop(w);
	bed_sql(bed, "UPDATE memingest.embed_cache SET used_at = now() - interval '47 hours'");
	w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 10, 0);
	bed_drain(bed, 30);
	worker_stop(w);
	ck_assert_int_eq(v->inputs, 20);
	bed_sql(bed, "UPDATE memingest.embed_cache SET used_at = used_at - interval '2 hours'");
	w = worker_start(bed, NULL);
	BED_WAIT(bed, 20, bed_int(bed, "SELECT count(*) FROM memingest.embed_cache") == 10);
	vectors_over(bed, v, w);
}
END_TEST

static void embed_tests(TCase *tc)
{
	tcase_add_test(tc, plain_rows);
	tcase_add_test(tc, misbehaviour);
	tcase_add_test(tc, no_base64);
	tcase_add_test(tc, paid_once);
	tcase_add_test(tc, poison_is_buried);
	tcase_add_test(tc, poison_is_null);
	tcase_add_test(tc, poison_halts);
	tcase_add_test(tc, too_many_poisoned);
	tcase_add_test(tc, only_its_stream_waits);
	tcase_add_test(tc, denied);
	tcase_add_test(tc, denied_meanwhile);
	tcase_add_test(tc, another_model);
	tcase_add_test(tc, replaced_meanwhile);
	tcase_add_test(tc, killed);
	tcase_add_test(tc, hands_over);
	tcase_add_test(tc, checked);
	tcase_add_test(tc, pruned);
}

SYSTEM_SUITE("embed", 60, embed_tests)
