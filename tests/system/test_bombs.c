/*
 * test_bombs.c - batches of messages that are small on the wire and large behind it.
 *
 * A broker's max.message.bytes counts packed bytes, so one batch of zeros in gzip may hold a
 * thousand times as much. What librdkafka unpacks is not bounded but for zstd
 * (receive.message.max.bytes), so what can be asked of the worker is: it needs a small multiple of
 * the unpacked batch and no more, lets it go again, says what it made of it, and goes on.
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

enum { MIB = 1024 * 1024, BOMB = 64 * MIB, MANY = 64 * 1024 };

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
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	ck_assert_msg(rk != NULL, "%s", error);
	return rk;
}

/* n messages of size bytes in one batch: no envelope of ours, and zeros. */
static void send_bomb(const char *codec, const char *topic, int n, size_t size)
{
	rd_kafka_t *rk = producer(codec);
	uint8_t *zeros = xcalloc(1, size);
	zeros[0] = 7;
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(
			rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
					  RD_KAFKA_V_VALUE(zeros, size),
					  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
			RD_KAFKA_RESP_ERR_NO_ERROR);
	ck_assert_int_eq(rd_kafka_flush(rk, 60000), RD_KAFKA_RESP_ERR_NO_ERROR);
	rd_kafka_destroy(rk);
	free(zeros);
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
	{"gzip", 1, BOMB}, {"gzip", MANY, BOMB / MANY}, {"zstd", 1, BOMB}, {"snappy", 1, BOMB},
	{"lz4", 1, BOMB},
};

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
	send_bomb(bombs[_i].codec, topic, bombs[_i].n, bombs[_i].size);
	ledger_send(bed, 0, "behind", 2000000, 1);
	bed_flush(bed);
	bed_drain(bed, 50);
	long peak = memory_kib(w, "VmHWM:"), after = memory_kib(w, "VmRSS:");
	printf("  %s, %d of %zu bytes: peak %ld MiB over %ld, then %ld\n", bombs[_i].codec,
	       bombs[_i].n, bombs[_i].size, (peak - before) / 1024, before / 1024, after / 1024);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), bombs[_i].n);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM ledger"), 2);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

static void bomb_tests(TCase *tc)
{
	tcase_add_loop_test(tc, bomb, 0, (int)ARRAY_LEN(bombs));
}

SYSTEM_SUITE("bombs", 90, bomb_tests)
