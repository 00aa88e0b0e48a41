/*
 * test_bombs.c - batches of messages that are small on the wire and large behind it.
 *
 * A broker's max.message.bytes counts packed bytes, so one batch of zeros in gzip may hold a
 * thousand times as much. What librdkafka unpacks is not bounded but for zstd
 * (receive.message.max.bytes), so what can be asked of the worker is: it has the message twice at
 * most (librdkafka's, and that of the dead letter), lets it go again, says what it made of it, and
 * goes on. What an operator can do is to have the broker unpack: compression.type = uncompressed.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bed.h"
#include "broker.h"
#include "ledger.h"
#include "model.h"
#include "system.h"

enum { MIB = 1024 * 1024, BOMB = 32 * MIB, MANY = 32 * 1024 };

static rd_kafka_resp_err_t delivered;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *ctx)
{
	(void)rk;
	(void)ctx;
	if (m->err)
		delivered = m->err;
}

static rd_kafka_t *producer(const char *codec)
{
	const char *const settings[][2] = {
		{"bootstrap.servers", stack.bootstrap},      {"compression.codec", codec},
		{"message.max.bytes", "1000000000"},         {"batch.size", "200000000"},
		{"queue.buffering.max.kbytes", "300000"},    {"batch.num.messages", "1000000"},
		{"queue.buffering.max.messages", "1000000"}, {"linger.ms", "2000"},
	};
	char error[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		ck_assert_msg(rd_kafka_conf_set(conf, settings[i][0], settings[i][1], error,
						sizeof(error)) == RD_KAFKA_CONF_OK,
			      "%s", error);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	ck_assert_msg(rk != NULL, "%s", error);
	return rk;
}

/* n messages of size bytes in one batch: no envelope of ours, and zeros. What became of it. */
static rd_kafka_resp_err_t send_bomb(const char *codec, const char *topic, int n, size_t size)
{
	rd_kafka_t *rk = producer(codec);
	uint8_t *zeros = xcalloc(1, size);
	zeros[0] = 7;
	delivered = RD_KAFKA_RESP_ERR_NO_ERROR;
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(
			rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
					  RD_KAFKA_V_VALUE(zeros, size),
					  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
			RD_KAFKA_RESP_ERR_NO_ERROR);
	ck_assert_int_eq(rd_kafka_flush(rk, 60000), RD_KAFKA_RESP_ERR_NO_ERROR);
	rd_kafka_destroy(rk);
	free(zeros);
	return delivered;
}

/* VmHWM or VmRSS of /proc/PID/status. */
static long memory_kib(const struct worker *w, const char *what)
{
	char path[64], line[256];
	long kib = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", w->pid);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, what, strlen(what)) == 0)
			kib = strtol(line + strlen(what) + 1, NULL, 10);
	fclose(f);
	return kib;
}

static const struct {
	const char *codec;
	int n;
	size_t size;
} bombs[] = {
	{"gzip", 1, BOMB},
	{"gzip", MANY, BOMB / MANY},
	{"lz4", 1, BOMB},
};

/* Proves: a topic that the broker keeps unpacked refuses the bomb, as max.message.bytes says. */
START_TEST(unpacked_by_broker)
{
	struct bed *bed = ledger_bed("unpacked", 1);
	char topic[128];
	const char *config[] = {"compression.type=uncompressed"};
	snprintf(topic, sizeof(topic), "%s.unpacked", bed->name);
	broker_create_topic(topic, 1, config, 1);
	ck_assert_int_eq(send_bomb("gzip", topic, 1, BOMB), RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	bed_free(bed);
}
END_TEST

/*
 * Proves: each bomb becomes dead letters, the events behind it land, memory goes up by a small
 * multiple of it and comes down again.
 */
START_TEST(bomb)
{
	struct bed *bed = ledger_bed("bomb", 1);
	const char *topic = bed->streams[0].topic;
	bed_set(bed, "dlq.max_ratio", "1");
	bed_set(bed, "log.level", "error");
	struct worker *w = worker_start(bed, NULL);
	ledger_send(bed, 0, "before", 1000000, 1);
	bed_flush(bed);
	bed_drain(bed, 20);
	long before = memory_kib(w, "VmHWM:");
	ck_assert_int_eq(send_bomb(bombs[_i].codec, topic, bombs[_i].n, bombs[_i].size),
			 RD_KAFKA_RESP_ERR_NO_ERROR);
	ledger_send(bed, 0, "behind", 2000000, 1);
	bed_flush(bed);
	bed_drain(bed, 50);
	BED_WAIT(bed, 20, memory_kib(w, "VmRSS:") - before < BOMB / 2 / 1024);
	long peak = memory_kib(w, "VmHWM:"), after = memory_kib(w, "VmRSS:");
	printf("  %s, %d of %zu bytes: peak %ld MiB over %ld, then %ld\n", bombs[_i].codec,
	       bombs[_i].n, bombs[_i].size, (peak - before) / 1024, before / 1024, after / 1024);
	ck_assert_int_lt(peak - before, 5 * BOMB / 2 / 1024);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), bombs[_i].n);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM ledger"), 2);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

static void bomb_tests(TCase *tc)
{
	tcase_add_test(tc, unpacked_by_broker);
	tcase_add_loop_test(tc, bomb, 0, (int)ARRAY_LEN(bombs));
}

SYSTEM_SUITE("bombs", 90, bomb_tests)
