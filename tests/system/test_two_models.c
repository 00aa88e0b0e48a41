/*
 * test_two_models.c - a table with two columns of vectors, each made by a model of its own: every
 * vector is that of its row's text by its column's model, whatever one of the two does, and rows of
 * before get those of the second one.
 *
 * The server is a stand-in (vectors.h), whose vector of a text is a hash of model and text, so a
 * vector in the wrong column shows. Not here: what each of them goes through alone (test_embed.c,
 * test_fill.c).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lite.h"
#include "stack.h"
#include "system.h"
#include "vectors.h"

/* Requests under way at most, and the texts of one. */
enum { UNDER_WAY = 4 * 16 };

/* From the next start on, as the reader's schema. Producers stay with theirs. */
static void use(struct bed *bed, const char *schema)
{
	snprintf(bed->streams[0].schema_path, sizeof(bed->streams[0].schema_path), "%s", schema);
}

static void use_both(struct bed *bed)
{
	use(bed, "tests/schemas/told_twice_event.avsc");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
}

static struct bed *one_model(const char *name, struct vectors **v)
{
	struct bed *bed = vectors_bed(name);
	*v = vectors_start(bed);
	bed_set(bed, "embed.next.url", "http://127.0.0.1:%u/v1", (*v)->port);
	bed_set(bed, "embed.next.max_inputs", "16");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	return bed;
}

static struct bed *two_models(const char *name, struct vectors **v)
{
	struct bed *bed = one_model(name, v);
	use_both(bed);
	return bed;
}

/* Rows whose second vector is not that of their text by the second model. */
static int64_t wrong_fresh(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM told WHERE fresh IS DISTINCT FROM CASE WHEN"
			    " note <> '' THEN vector_of('next: ' || note, 8) END");
}

static int64_t count(struct bed *bed, const char *condition)
{
	return bed_int(bed, "SELECT count(*) FROM told WHERE %s", condition);
}

static int64_t dead_letters(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM memingest.dead_letters");
}

/* Among others, three whose text is refused. */
static void tell_with_poison(struct bed *bed, int version)
{
	char text[64];
	for (int i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "%d is poison %d", i, version);
		vectors_tell_notes(bed, 20 * i, 20 * i + 20, version);
		vectors_tell(bed, 100 + i, version, text);
	}
	vectors_tell_notes(bed, 60, 80, version);
}

/*
 * Proves: an event's text goes to both models, and each vector into its own column; one that an
 * event brings stays, and the other is made; a text is paid for once by each model; no text, no
 * vector.
 */
START_TEST(both)
{
	struct vectors *v;
	struct bed *bed = two_models("both", &v);
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 200, 0);
	vectors_tell_notes(bed, 0, 100, 0);
	vectors_tell(bed, 200, 0, "");
	vectors_tell(bed, 201, 0, NULL);
	vectors_tell_mine(bed);
	bed_flush(bed);
	bed_drain(bed, 30);
	ck_assert_int_eq(count(bed, "true"), 203);
	ck_assert_int_eq(wrong_fresh(bed), 0);
	ck_assert_int_eq(vectors_wrong(bed), 1);
	ck_assert_int_eq(count(bed, "id = 'mine' AND spot = '[1,2,3,4,5,6,7,8]'"), 1);
	ck_assert_int_eq(v->others, 201);
	ck_assert_int_eq(v->inputs, 401);
	ck_assert_int_eq(bed_int(bed, "SELECT sum((embed->>'texts')::int) FROM memingest.batches"),
			 601);
	ck_assert_double_eq(worker_metric(w, "memingest_embed_waiting_events", NULL), 0);
	bed_expect(bed, 0, "check --online", "column fresh: vectors of 8 dimensions are made of");
	bed_expect(bed, 0, "check --online", "model next answers with 8 dimensions");
	vectors_over(bed, v, w);
}
END_TEST

/*
 * Proves: a text that one model refuses costs the other column nothing: with on_poison = null the
 * row has the other's vector, also where that comes later and the text stands behind the NULL.
 */
START_TEST(null_by_one)
{
	static const char *const names[] = {"stub", "next"};
	struct vectors *v;
	struct bed *bed = two_models("nullone", &v);
	v->poison = "is poison";
	v->delay_ms = 5;
	bed_set(bed, "embed.stub.on_poison", "null");
	bed_set(bed, "embed.next.on_poison", "null");
	bed_set(bed, "embed.next.max_inputs", "2");
	bed_set(bed, "embed.next.concurrency", "1");
	struct worker *w = worker_start(bed, NULL);
	for (int i = 0; i < 2; i++) {
		v->only = names[i];
		tell_with_poison(bed, i);
		bed_drain(bed, 40);
		ck_assert_int_eq(vectors_wrong(bed), i == 0 ? 3 : 0);
		ck_assert_int_eq(wrong_fresh(bed), i == 0 ? 0 : 3);
	}
	ck_assert_int_eq(count(bed, "fresh IS NULL AND note LIKE '%%is poison%%'"), 3);
	ck_assert_int_eq(count(bed, "true"), 83);
	ck_assert_int_eq(dead_letters(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

/* Proves: an event whose text one of them refuses, or both, is one dead letter. */
START_TEST(letter_by_both)
{
	struct vectors *v;
	struct bed *bed = two_models("letters", &v);
	v->poison = "is poison";
	struct worker *w = worker_start(bed, NULL);
	tell_with_poison(bed, 0);
	bed_drain(bed, 30);
	ck_assert_int_eq(dead_letters(bed), 3);
	v->only = "next";
	tell_with_poison(bed, 1);
	bed_drain(bed, 30);
	ck_assert_int_eq(dead_letters(bed), 6);
	ck_assert_int_eq(bed_int(bed, "SELECT count(DISTINCT (topic, partition, \"offset\")) FROM"
				      " memingest.dead_letters WHERE reason = 'embed'"),
			 6);
	ck_assert_int_eq(count(bed, "true"), 80);
	ck_assert_int_eq(vectors_wrong(bed) + wrong_fresh(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

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
 * Proves: while one model is away, or refuses the key, only the streams wait that it makes vectors
 * for, and /status names it; a stream of the other model alone goes on; then all is made up for.
 */
START_TEST(away)
{
	struct vectors *v;
	struct bed *bed = vectors_bed("oneaway");
	bed_stream_files(bed, "asked", 1, "tests/schemas/asked_event.avsc", NULL);
	v = vectors_start(bed);
	bed_set(bed, "embed.next.url", "http://127.0.0.1:%u/v1", v->port);
	use_both(bed);
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	v->only = "next";
	v->status = 503;
	v->failing = 1000000;
	vectors_tell_notes(bed, 0, 100, 0);
	BED_WAIT(bed, 10, status_says(w, "embed.next: status 503: not now"));
	snprintf(v->key, sizeof(v->key), "x");
	v->failing = 0;
	BED_WAIT(bed, 20, status_says(w, "embed.next: status 401: wrong key"));
	for (int i = 0; i < 50; i++) {
		json_t *e = json_pack("{s:I, s:o, s:s, s:n, s:n, s:n}", "event_time", (json_int_t)1,
				      "id", json_sprintf("n%d", i), "note", "asked", "tenant",
				      "rank", "spot");
		bed_event(bed, "asked", 0, e);
		json_decref(e);
	}
	bed_flush(bed);
	BED_WAIT(bed, 10, bed_int(bed, "SELECT count(*) FROM asked WHERE spot IS NOT NULL") == 50);
	ck_assert_int_eq(count(bed, "true"), 0);
	v->key[0] = '\0';
	bed_drain(bed, 40);
	ck_assert_int_eq(count(bed, "true"), 100);
	ck_assert_int_eq(vectors_wrong(bed) + wrong_fresh(bed), 0);
	vectors_over(bed, v, w);
}
END_TEST

/* A partition goes back to a worker with the old schema, and the operator does as is written. */
static void old_worker_comes_between(struct bed *bed, struct worker **w)
{
	worker_stop(*w);
	use(bed, "tests/schemas/told_event.avsc");
	*w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 20, 2);
	bed_drain(bed, 30);
	worker_stop(*w);
	ck_assert_int_eq(wrong_fresh(bed), 820);
	ck_assert_int_eq(count(bed, "fresh IS NOT NULL"), 100); /* 20 of them of another text */
	use(bed, "tests/schemas/told_twice_event.avsc");
	*w = worker_start(bed, NULL);
	bed_sql(bed, "UPDATE told SET fresh = NULL WHERE updated_at >= now() - interval '1 hour'");
}

/*
 * Proves the way of an operator: rows of one model; the schema gets a second column, migrate makes
 * it, producers stay as they are; the worker makes both vectors of each event from then on, and
 * "embed --model", killed and started again, those of the rows of before; the first column is never
 * touched, and a text is paid twice only if it was under way.
 */
START_TEST(takes_over)
{
	struct vectors *v;
	struct bed *bed = one_model("takesover", &v);
	char log[200];
	int kills = 3;
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 900, 0);
	bed_drain(bed, 40);
	worker_stop(w);
	ck_assert_int_eq(v->others, 0);
	int paid = v->inputs;
	use_both(bed);
	w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 100, 1);
	bed_drain(bed, 30);
	ck_assert_int_eq(v->others, 100);
	ck_assert_int_eq(wrong_fresh(bed), 800);
	old_worker_comes_between(bed, &w);
	bed_expect(bed, 64, "embed told --model later", "its models are stub, next");
	bed_expect(bed, 0, "embed told --dry-run --model next",
		   "told, column fresh: 900 rows have a text and no vector: ");
	v->delay_ms = 30;
	for (int i = 0; i < kills; i++) {
		const char *const argv[] = {stack.program, "embed", "told",      "--model",
					    "next",        "-c",    bed->config, NULL};
		int seen = v->others;
		snprintf(log, sizeof(log), "%s/embed.log", bed->dir);
		int pid = spawn(argv, NULL, log);
		BED_WAIT(bed, 30, v->others > seen + 100);
		vectors_tell_notes(bed, 100 * i, 100 * i + 50, 3);
		kill(pid, SIGKILL);
		ck_assert_int_eq(wait_exit(pid), 128 + SIGKILL);
	}
	v->delay_ms = 0;
	bed_expect(bed, 0, "embed told --model next", "rows got their vector in ");
	bed_drain(bed, 30);
	ck_assert_int_eq(count(bed, "true"), 900);
	ck_assert_int_eq(vectors_wrong(bed) + wrong_fresh(bed), 0);
	ck_assert_int_eq(v->inputs - v->others, paid + 100 + 20 + 150);
	/* by the worker 250; the rows of before 800, and 20 of the old worker's, less those that
	 * had a new text before it was their turn */
	ck_assert_int_le(v->others, 250 + 820 + kills * UNDER_WAY);
	bed_expect(bed, 0, "embed told --json",
		   "\"column\":\"fresh\",\"model\":\"next\",\"complete\":true,\"wanted\":0,");
	vectors_over(bed, v, w);
}
END_TEST

/*
 * Proves: without --model each column is filled in turn, with the vectors of its model, and one
 * budget holds for both; with --model only that one.
 */
START_TEST(in_turn)
{
	struct vectors *v;
	struct bed *bed = two_models("inturn", &v);
	bed_sql(bed,
		"INSERT INTO told (event_time, id, note) SELECT now(), 'id-' || i, 'note ' || i"
		" FROM generate_series(1, 100) i");
	bed_expect(bed, 0, "embed told --dry-run", "told, column spot: 100 rows have a text");
	bed_expect(bed, 0, "embed told --dry-run", "told, column fresh: 100 rows have a text");
	ck_assert_int_eq(v->inputs, 0);
	/* of 3 tokens each: all of the first column, half of the second */
	bed_expect(bed, 75, "embed told --max-tokens 450", "the budget is spent: ");
	ck_assert_int_eq(vectors_wrong(bed), 0);
	ck_assert_int_ge(v->others, 45);
	ck_assert_int_le(v->others, 50);
	ck_assert_int_eq(wrong_fresh(bed), 100 - v->others);
	bed_sql(bed, "UPDATE told SET spot = NULL WHERE id = 'id-7'");
	bed_expect(bed, 0, "embed told --model next", "told, column fresh: ");
	ck_assert_int_eq(wrong_fresh(bed), 0);
	ck_assert_int_eq(vectors_wrong(bed), 1);
	bed_expect(bed, 0, "embed told", "told, column spot: 1 of 1 rows got their vector");
	ck_assert_int_eq(wrong_fresh(bed) + vectors_wrong(bed), 0);
	ck_assert_int_eq(v->inputs, 200);
	vectors_over(bed, v, NULL);
}
END_TEST

/* Proves: into a file both vectors of each event go as well. */
START_TEST(in_a_file)
{
	struct vectors *v;
	struct bed *bed = two_models("twofile", &v);
	lite_begin(bed, NULL);
	struct worker *w = worker_start(bed, NULL);
	vectors_tell_notes(bed, 0, 100, 0);
	bed_drain(bed, 30);
	worker_stop(w);
	lite_copy(bed);
	ck_assert_int_eq(count(bed, "true"), 100);
	ck_assert_int_eq(vectors_wrong(bed) + wrong_fresh(bed), 0);
	ck_assert_int_eq(v->others, 100);
	vectors_over(bed, v, NULL);
}
END_TEST

static void two_models_tests(TCase *tc)
{
	tcase_add_test(tc, both);
	tcase_add_test(tc, null_by_one);
	tcase_add_test(tc, letter_by_both);
	tcase_add_test(tc, away);
	tcase_add_test(tc, takes_over);
	tcase_add_test(tc, in_turn);
	tcase_add_test(tc, in_a_file);
}

SYSTEM_SUITE("two_models", 60, two_models_tests)
