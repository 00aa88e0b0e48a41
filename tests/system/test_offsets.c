/*
 * test_offsets.c - positions and the things that happen to them: a restored database, retention,
 * topics created anew, rewinds, new partitions, transactions, a group that Kafka has forgotten.
 *
 * PostgreSQL's row is the truth: where Kafka says otherwise it is not believed, and where the log
 * itself has changed below the row the partition halts until an operator has chosen, with a verb
 * that leaves a record. After the verb it goes on by itself.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bed.h"
#include "broker.h"
#include "event.h"
#include "ledger.h"
#include "model.h"
#include "system.h"

#define LOOK_AGAIN_S 25 /* a halted partition is looked at every 10 s */

static struct bed *offsets_bed(const char *name, int partitions)
{
	struct bed *bed = ledger_bed(name, partitions);
	bed_set(bed, "kafka.session.timeout.ms", "6000");
	return bed;
}

static const char *topic_of(const struct bed *bed)
{
	return bed->streams[0].topic;
}

/* n events of a few accounts of their own. */
static void send(struct bed *bed, int partition, int n)
{
	static int64_t time_us = INT64_C(1750000000000000);
	char account[32];
	for (int i = 0; i < n; i++) {
		snprintf(account, sizeof(account), "p%d-%d", partition, i % 7);
		ledger_send(bed, partition, account, ++time_us, i);
	}
	bed_flush(bed);
}

static int64_t next_offset(struct bed *bed, int partition)
{
	return bed_int(bed,
		       "SELECT coalesce(max(next_offset), -1) FROM memingest.offsets WHERE "
		       "pipeline = '%s' AND "
		       "partition = %d",
		       bed->name, partition);
}

static void operator_says(struct bed *bed, const char *verb, const char *topic,
			  const char *partition, const char *to)
{
	struct buf out = {0};
	const char *args[] = {verb, "--yes", topic, partition, to ? "--to" : NULL, to, NULL};
	int status = bed_command(bed, "offsets", args, &out);
	ck_assert_msg(status == 0, "offsets %s: %d: %s", verb, status, buf_cstr(&out));
	buf_free(&out);
}

/* What the log last says to run with that verb, as it stands there, but for the question. */
static void obey(struct worker *w, const char *verb)
{
	char words[64];
	struct buf log = {0}, command = {0};
	const char *at = NULL;
	snprintf(words, sizeof(words), "memingest offsets %s ", verb);
	worker_read_log(w, &log);
	for (const char *next = buf_cstr(&log); (next = strstr(next, words)); next++)
		at = next;
	ck_assert_ptr_nonnull(at);
	at += strlen("memingest ");
	if (stack.librdkafka[0]) /* as the worker has it: topic ids are told by the newer one */
		buf_printf(&command, "LD_LIBRARY_PATH=%s ", stack.librdkafka);
	buf_printf(&command, "%s %.*s --yes", stack.program, (int)strcspn(at, ",;\"\n"), at);
	ck_assert_msg(strstr(buf_cstr(&command), " -c "), "%s", buf_cstr(&command));
	ck_assert_msg(system(buf_cstr(&command)) == 0, "%s", buf_cstr(&command));
	buf_free(&command);
	buf_free(&log);
}

/* The text of /status, until it holds the words; the log must name the halt as well. */
static void halted(struct bed *bed, struct worker *w, const char *verb)
{
	worker_wait_log(w, "partition halted, an operator must act", 30);
	ck_assert_msg(worker_logged(w, verb), "the log does not name \"%s\": %s", verb, w->log);
	BED_WAIT(bed, 10, worker_metric(w, "memingest_halted_partitions", NULL) >= 1);
	json_t *status = worker_status(w);
	char *text = json_dumps(status, 0);
	ck_assert_msg(strstr(text, verb) != NULL, "/status does not name \"%s\": %s", verb, text);
	free(text);
	json_decref(status);
}

/* --- the database goes back in time --- */

static void copy_database(struct bed *bed, const char *from, const char *to)
{
	struct err err = {0};
	char dsn[128], sql[512];
	snprintf(dsn, sizeof(dsn), "postgresql://postgres@127.0.0.1:%u/postgres", stack.pg_port);
	struct config config = {
		.pg_dsn = dsn,
		.pg_statement_timeout_us = 30 * US_PER_S,
		.pg_lock_timeout_us = 30 * US_PER_S,
		.pg_connect_timeout_us = 10 * US_PER_S,
	};
	pg_free(bed->pg);
	bed->pg = NULL;
	struct pg *pg = pg_connect(&config, "copy", -1, &err);
	ck_assert_msg(pg != NULL, "%s", err.text);
	/*
	 * Statement by statement: none of them may run in a transaction. Nobody else may be in the
	 * copied database.
	 */
	const char *const steps[] = {
		"ALTER DATABASE %1$s ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname IN "
		"('%1$s', '%2$s')",
		"DROP DATABASE IF EXISTS %2$s WITH (FORCE)",
		"CREATE DATABASE %2$s TEMPLATE %1$s OWNER memingest",
		"ALTER DATABASE %1$s ALLOW_CONNECTIONS true",
		"ALTER DATABASE %2$s ALLOW_CONNECTIONS true",
	};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct buf text = {0};
		for (const char *p = steps[i]; *p; p++) {
			bool name = strncmp(p, "%1$s", 4) == 0 || strncmp(p, "%2$s", 4) == 0;
			if (name)
				buf_puts(&text, p[1] == '1' ? from : to);
			else
				buf_u8(&text, (uint8_t)*p);
			p += name ? 3 : 0;
		}
		snprintf(sql, sizeof(sql), "%s", buf_cstr(&text));
		buf_free(&text);
		ck_assert_msg(pg_exec(pg, sql, NULL, 0, &err), "%s: %s", sql, err.text);
	}
	pg_free(pg);
}

/*
 * Proves: when the database is restored to an earlier state, offsets roll back together with the
 * data, and the worker (0: stopped meanwhile, 1: running, 2: running and without new events) writes
 * again what was lost, once, although Kafka remembers later offsets.
 */
START_TEST(database_restored)
{
	struct bed *bed = offsets_bed("restored", 3);
	char saved[64];
	snprintf(saved, sizeof(saved), "%s_saved", bed->name);
	struct pace *pace = pace_open(bed, "ledger", 1500);
	struct worker *w = worker_start(bed, NULL);
	pace_progress(pace, 1000);
	worker_stop(w);
	int64_t then = ledger_durable(bed);
	copy_database(bed, bed->name, saved);
	w = worker_start(bed, NULL);
	pace_progress(pace, 1500);
	if (_i == 2) {
		pace_close(pace);
		pace = NULL;
		bed_drain(bed, 20);
	}
	if (_i == 0)
		worker_stop(w);
	int64_t later = ledger_durable(bed);
	copy_database(bed, saved, bed->name);
	if (_i == 0) {
		ck_assert_int_eq(ledger_durable(bed), then);
		w = worker_start(bed, NULL);
	}
	if (pace) {
		PACE_WAIT(pace, bed, 30, ledger_durable(bed) > later);
		pace_close(pace);
	}
	bed_drain(bed, 40);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* --- the log changes below the position --- */

/*
 * Proves: when retention has passed the position, the partition halts (a fresh worker, or 1: one
 * that is running and asleep), says how much is gone and names accept-gap; after that verb it goes
 * on by itself, the gap is on record, and other partitions never stopped.
 */
START_TEST(retention_passes)
{
	bool running = _i == 1;
	struct bed *bed = offsets_bed("retention", 2);
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	BED_WAIT(bed, 10, next_offset(bed, 0) == 0 && next_offset(bed, 1) == 0);
	if (running)
		worker_signal(w, SIGSTOP);
	else
		worker_stop(w);
	send(bed, 0, 500);
	send(bed, 1, 50);
	broker_delete_records(topic_of(bed), 0, 200);
	if (running)
		worker_signal(w, SIGCONT);
	else
		w = worker_start(bed, NULL);
	halted(bed, w, "accept-gap");
	BED_WAIT(bed, 10, next_offset(bed, 1) == 50);
	ck_assert_int_eq(next_offset(bed, 0), 0);
	obey(w, "accept-gap");
	bed_drain(bed, LOOK_AGAIN_S);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.gaps WHERE from_offset = 0 "
				      "AND to_offset = 200"),
			 1);
	BED_WAIT(bed, 5, worker_metric(w, "memingest_halted_partitions", NULL) == 0);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static void create_anew(struct bed *bed, int partitions)
{
	broker_delete_topic(topic_of(bed));
	BED_WAIT(bed, 20, broker_partitions(topic_of(bed)) == 0);
	broker_close(); /* a producer keeps sequence numbers of the old partitions */
	broker_create_topic(topic_of(bed), partitions, NULL, 0);
}

/*
 * Proves: a topic that was deleted and created again halts, be it shorter than before (0) or, where
 * librdkafka tells topic ids, longer (1), and nothing of it is skipped or taken for the old one's;
 * adopt-topic starts at its beginning.
 */
START_TEST(topic_created_anew)
{
	bool longer = _i == 1;
	if (longer && !stack.librdkafka[0])
		return; /* cannot be told without topic ids: librdkafka before 2.3 has none */
	struct bed *bed = offsets_bed("anew", 1);
	struct worker *w = worker_start(bed, NULL);
	send(bed, 0, 300);
	bed_drain(bed, 20);
	worker_stop(w);
	create_anew(bed, 1);
	send(bed, 0, longer ? 400 : 100);
	w = worker_start(bed, NULL);
	halted(bed, w, "adopt-topic");
	ck_assert_int_eq(next_offset(bed, 0), 300);
	/* of the old topic, which the model can not read any more */
	bed_sql(bed, "TRUNCATE ledger");
	obey(w, "adopt-topic");
	bed_drain(bed, LOOK_AGAIN_S);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a worker that runs while its topic is deleted and created again, and knows leader epochs
 * of the old one that are above those of the new (the broker was restarted before), halts as well,
 * and reads the new one once it is adopted, without a restart.
 */
START_TEST(created_anew_while_running)
{
	struct bed *bed = offsets_bed("meanwhile", 1);
	struct worker *w = worker_start(bed, NULL);
	send(bed, 0, 100);
	bed_drain(bed, 20);
	stack_do("kafka", "kill", NULL);
	stack_do("kafka", "start", NULL);
	send(bed, 0, 200);
	bed_drain(bed, 30);
	create_anew(bed, 1);
	send(bed, 0, 50);
	BED_WAIT(bed, 60, worker_logged(w, "offsets adopt-topic"));
	ck_assert_int_eq(next_offset(bed, 0), 300);
	bed_sql(bed, "TRUNCATE ledger");
	obey(w, "adopt-topic");
	bed_drain(bed, LOOK_AGAIN_S);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: so does one that has no partition of the topic then, and so has never looked at it: its
 * client knows the old topic all the same, and is replaced, whoever reads the new one in the end.
 */
START_TEST(created_anew_for_others)
{
	static const char words[] = "the topic was created anew: the Kafka client is, too";
	if (!stack.librdkafka[0])
		return; /* told by topic ids */
	struct bed *bed = offsets_bed("others", 1);
	struct worker *w = worker_start(bed, NULL), *other = worker_start(bed, NULL);
	send(bed, 0, 100);
	bed_drain(bed, 20);
	BED_WAIT(bed, 20, worker_logged(w, "assigned") && worker_logged(other, "assigned"));
	create_anew(bed, 1);
	send(bed, 0, 50);
	BED_WAIT(bed, 60, worker_logged(w, words) && worker_logged(other, words));
	BED_WAIT(bed, 30,
		 worker_logged(w, "offsets adopt-topic") ||
			 worker_logged(other, "offsets adopt-topic"));
	bed_sql(bed, "TRUNCATE ledger");
	obey(worker_logged(w, "offsets adopt-topic") ? w : other, "adopt-topic");
	bed_drain(bed, LOOK_AGAIN_S);
	worker_stop(w);
	worker_stop(other);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* --- an operator moves the position --- */

/*
 * Proves: rewind to the beginning writes everything again, to the same table; with a worker stopped
 * (0), running under load (1), running on a silent topic (2). (No sums here: rewound events count
 * twice in them, and the command says so.)
 */
START_TEST(rewound)
{
	struct bed *bed = bed_new("rewound");
	bed_stream(bed, "pattern", 2);
	bed_set(bed, "batch.max_rows", "100");
	bed_set(bed, "batch.max_age", "20ms");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	struct pace *pace = pace_open(bed, "pattern", 1000);
	struct worker *w = worker_start(bed, NULL);
	pace_progress(pace, 1000);
	if (_i != 1) {
		pace_close(pace);
		bed_drain(bed, 20);
	}
	if (_i == 0)
		worker_stop(w);
	bed_sql(bed, "TRUNCATE patterns");
	operator_says(bed, "rewind", topic_of(bed), "all", "earliest");
	if (_i == 0)
		w = worker_start(bed, NULL);
	if (_i == 1) {
		pace_for(pace, 1);
		pace_close(pace);
	}
	bed_drain(bed, 40);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* --- where to begin --- */

/*
 * Proves: start = latest skips what was there at the first start, and only that: partitions added
 * later begin at their first event, though it came before anybody knew of them.
 */
START_TEST(new_partitions)
{
	struct bed *bed = offsets_bed("partitions", 2);
	bed_set(bed, "stream.ledger.start", "latest");
	bed_set(bed, "kafka.topic.metadata.refresh.interval.ms", "1500");
	send(bed, 0, 100);
	send(bed, 1, 70);
	model_start_at(topic_of(bed), 0, 100);
	model_start_at(topic_of(bed), 1, 70);
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	BED_WAIT(bed, 10, next_offset(bed, 0) == 100 && next_offset(bed, 1) == 70);
	send(bed, 0, 50);
	broker_add_partitions(topic_of(bed), 4);
	BED_WAIT(bed, 10, broker_partitions(topic_of(bed)) == 4);
	send(bed, 2, 30);
	send(bed, 3, 40);
	send(bed, 1, 20);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM ledger WHERE account LIKE 'p2-%%'"), 7);
	bed_free(bed);
}
END_TEST

static int64_t row_of(struct bed *bed, const char *topic, int partition)
{
	return bed_int(bed,
		       "SELECT coalesce(max(next_offset), -1) FROM memingest.offsets WHERE topic = "
		       "'%s' AND partition = %d",
		       topic, partition);
}

/*
 * Proves: a topic that one stream names and another's pattern matches is the former's, its "start"
 * too: with "latest" at the pattern, all that was there before is read. "check" counts it there.
 */
START_TEST(overlapping_topics)
{
	struct bed *bed = bed_new("overlap");
	bed_stream(bed, "memory", 1);
	bed_stream_files(bed, "ledger", 2, "tests/schemas/ledger_event.avsc",
			 "tests/schemas/ledger_key.avsc");
	bed_set(bed, "stream.memory.start", "latest");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	char pattern[128], wrong[192];
	struct buf out = {0};
	snprintf(pattern, sizeof(pattern), "stream.memory.topic=^%s", bed->name);
	const char *const args[] = {"--set", pattern, NULL}, *const online[] = {"--online", "--set",
										pattern, NULL};
	for (int i = 0; i < 40; i++)
		ledger_send(bed, i % 2, "early", INT64_C(1750000000000000) + i, 1);
	bed_flush(bed);
	snprintf(wrong, sizeof(wrong), "stream.memory: topic %s", bed->streams[1].topic);
	ck_assert_int_eq(bed_command(bed, "check", online, &out), 0);
	ck_assert_msg(strstr(buf_cstr(&out), wrong) == NULL, "%s", buf_cstr(&out));
	struct worker *w = worker_start(bed, args);
	BED_WAIT(bed, 20, row_of(bed, bed->streams[1].topic, 0) == 20);
	BED_WAIT(bed, 20, row_of(bed, bed->streams[1].topic, 1) == 20);
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT total FROM ledger WHERE account = 'early'"), 40);
	buf_free(&out);
	bed_free(bed);
}
END_TEST

/* Claims of partitions 1 and 2 are refused, until it is dropped. */
static void refuse_claims(struct bed *bed)
{
	bed_sql(bed, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
		     " $$BEGIN RAISE 'not now'; END$$; CREATE TRIGGER refuse BEFORE INSERT ON"
		     " memingest.offsets FOR EACH ROW WHEN (NEW.partition IN (1, 2) AND"
		     " NEW.owner_epoch > 0) EXECUTE FUNCTION refuse()");
}

/*
 * Proves: where a topic starts (0: latest, 1: what the group committed, 2: a time) is decided once,
 * for all of its partitions: what is put into partitions that nobody has claimed yet, empty ones
 * (2) too, is read, also by another worker whose "start" has changed.
 */
START_TEST(start_is_decided_once)
{
	struct bed *bed = offsets_bed("once", 3);
	send(bed, 0, 100);
	send(bed, 1, 60);
	model_start_at(topic_of(bed), 0, 100);
	model_start_at(topic_of(bed), 1, 60);
	if (_i == 1) {
		broker_set_committed(bed->name, topic_of(bed), 0, 100);
		broker_set_committed(bed->name, topic_of(bed), 1, 60);
	}
	if (_i < 2)
		bed_set(bed, "stream.ledger.start", _i == 0 ? "latest" : "committed");
	else
		bed_set(bed, "stream.ledger.start", "%lld",
			(long long)(clock_wall_us() / US_PER_MS + 1));
	refuse_claims(bed);
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 20, next_offset(bed, 0) == 100);
	ck_assert_int_eq(next_offset(bed, 1), 60);
	ck_assert_int_eq(next_offset(bed, 2), 0);
	send(bed, 0, 10);
	send(bed, 1, 20);
	send(bed, 2, 30);
	BED_WAIT(bed, 20, next_offset(bed, 0) == 110);
	worker_stop(w);
	bed_set(bed, "stream.ledger.start", "latest");
	bed_sql(bed, "DROP TRIGGER refuse ON memingest.offsets");
	w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: seconds where milliseconds belong are refused, by "check" and at the start, with what was
 * probably meant.
 */
START_TEST(start_in_seconds)
{
	static const char *const commands[] = {"check", "run"};
	struct bed *bed = offsets_bed("seconds", 1);
	bed_set(bed, "stream.ledger.start", "1767225600");
	struct buf out = {0};
	ck_assert_int_eq(bed_command(bed, commands[_i], NULL, &out), 78);
	ck_assert_msg(strstr(buf_cstr(&out), "probably seconds were meant: write 1767225600000"),
		      "%s", buf_cstr(&out));
	buf_free(&out);
	bed_free(bed);
}
END_TEST

/*
 * Proves: what Kafka holds for the group counts for nothing: neither an offset beyond PostgreSQL's,
 * nor one below, nor none.
 */
START_TEST(group_forgotten)
{
	struct bed *bed = offsets_bed("forgotten", 2);
	struct worker *w = worker_start(bed, NULL);
	send(bed, 0, 200);
	send(bed, 1, 200);
	bed_drain(bed, 20);
	worker_stop(w);
	send(bed, 0, 100);
	send(bed, 1, 100);
	broker_set_committed(bed->name, topic_of(bed), 0, 280);
	broker_set_committed(bed->name, topic_of(bed), 1, 10);
	w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	model_check(bed);
	send(bed, 0, 100);
	broker_delete_group(bed->name);
	w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* --- transactions --- */

static void send_in_transaction(struct bed *bed, const char *account, int64_t amount, bool commit)
{
	struct bed_stream *s = &bed->streams[0];
	struct buf key = {0}, value = {0};
	json_t *event =
		json_pack("{s:I, s:s, s:I}", "event_time", INT64_C(1750000000000000) + amount,
			  "account", account, "total", (json_int_t)amount);
	ck_assert(event_confluent(s->key_schema, s->key_id, event, &key));
	ck_assert(event_confluent(s->schema, s->schema_id, event, &value));
	broker_txn_begin();
	broker_txn_produce(s->topic, 0, (struct slice){key.data, key.len},
			   (struct slice){value.data, value.len});
	broker_txn_end(commit);
	json_decref(event);
	buf_free(&key);
	buf_free(&value);
}

/*
 * Proves: markers of transactions, at the end of the log too, leave no hole in the books and no
 * lag; rolled back events are not read.
 */
START_TEST(transactions)
{
	struct bed *bed = offsets_bed("transactions", 1);
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	send(bed, 0, 20);
	send_in_transaction(bed, "kept", 5, true);
	send_in_transaction(bed, "never", 7, false);
	bed_drain(bed, 20);
	BED_WAIT(bed, 10, worker_metric(w, "memingest_consumer_lag_records", NULL) == 0);
	send_in_transaction(bed, "kept", 6, true);
	send(bed, 0, 5);
	send_in_transaction(bed, "never", 8, false);
	bed_drain(bed, 20);
	worker_stop(w);
	model_check(bed);
	ck_assert_int_eq(
		bed_int(bed,
			"SELECT sum(total)::bigint FROM ledger WHERE account IN ('kept', 'never')"),
		11);
	bed_free(bed);
}
END_TEST

static void retention_tests(TCase *tc)
{
	tcase_add_loop_test(tc, retention_passes, 0, 2);
}
SYSTEM_SUITE("retention", 120, retention_tests)

static void created_anew_tests(TCase *tc)
{
	tcase_add_loop_test(tc, topic_created_anew, 0, 2);
	tcase_add_test(tc, created_anew_while_running);
	tcase_add_test(tc, created_anew_for_others);
}
SYSTEM_SUITE("created_anew", 120, created_anew_tests)

static void start_tests(TCase *tc)
{
	tcase_add_test(tc, new_partitions);
	tcase_add_test(tc, overlapping_topics);
	tcase_add_loop_test(tc, start_is_decided_once, 0, 3);
	tcase_add_loop_test(tc, start_in_seconds, 0, 2);
	tcase_add_test(tc, group_forgotten);
	tcase_add_test(tc, transactions);
}
SYSTEM_SUITE("start", 120, start_tests)

static void restore_tests(TCase *tc)
{
	tcase_add_loop_test(tc, database_restored, 0, 3);
}
SYSTEM_SUITE("restore", 120, restore_tests)

static void rewind_tests(TCase *tc)
{
	tcase_add_loop_test(tc, rewound, 0, 3);
}
SYSTEM_SUITE("rewind", 120, rewind_tests)
