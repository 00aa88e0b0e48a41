/*
 * test_filesource.c - files as a source: whatever is paused over a record, taken back or started
 * anew, each partition gets each of its records once behind where it was last started, in order;
 * and while nothing can be handed over, nobody is woken up for it.
 *
 * The pipeline is played by dice: it refuses records by pausing their partition, and now and then
 * takes a partition back to what was durable.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec_rig.h"
#include "container_put.h"
#include "io/filesource.h"

enum { FILES = 2, RECORDS = 3000, PARTS = FILES * FILES_PARTITIONS };

static const char stream_text[] =
	"{'type':'record','name':'Note','pg':{'table':'notes','key':['id']},'fields':["
	"{'name':'id','type':'string'},{'name':'n','type':'long'}]}";

struct play {
	struct source *source;
	struct source_partition *sps[PARTS];
	int64_t position[PARTS], durable[PARTS];
	bool on[PARTS];
	bool taken[FILES][RECORDS]; /* by the pipeline, and not taken back since */
	int64_t ends[PARTS];
	uint64_t dice;
	int refuse, back; /* one in so many; 0: never */
	unsigned calls, refused, taken_back, rested;
	char fatal[ERR_TEXT_SIZE];
};

static uint64_t roll(struct play *p, uint64_t sides)
{
	p->dice = p->dice * 6364136223846793005u + 1442695040888963407u;
	return (p->dice >> 33) % sides;
}

static size_t index_of(const struct source_partition *sp)
{
	return (size_t)(uintptr_t)sp->user - 1;
}

static void on_assigned(void *ctx, struct source_partition **sps, size_t n)
{
	struct play *p = ctx;
	ck_assert_uint_eq(n, PARTS);
	for (size_t i = 0; i < n; i++) {
		p->sps[i] = sps[i];
		sps[i]->user = (void *)(uintptr_t)(i + 1);
		ck_assert_int_eq(sps[i]->partition, (int)(i % FILES_PARTITIONS));
	}
}

static void on_revoked(void *ctx, struct source_partition **sps, size_t n, bool lost)
{
	struct play *p = ctx;
	(void)sps;
	ck_assert_uint_eq(n, PARTS);
	ck_assert(!lost);
	p->calls |= 1u << 31;
}

static bool on_message(void *ctx, const struct source_message *m)
{
	struct play *p = ctx;
	size_t i = index_of(m->sp), file = i / FILES_PARTITIONS;
	p->calls++;
	ck_assert(p->on[i]);
	ck_assert(m->decoded && m->decoded->ok);
	ck_assert_int_ge(m->offset, p->position[i]);
	ck_assert_int_lt(m->offset, RECORDS);
	if (p->refuse && roll(p, (uint64_t)p->refuse) == 0) {
		source_pause(p->source, m->sp);
		p->on[i] = false;
		p->refused++;
		return roll(p, 2) == 0;
	}
	ck_assert(!p->taken[file][m->offset]);
	p->taken[file][m->offset] = true;
	p->position[i] = m->offset + 1;
	return roll(p, 50) != 0;
}

static void on_eof(void *ctx, struct source_partition *sp, int64_t offset)
{
	struct play *p = ctx;
	size_t i = index_of(sp);
	if (!p->on[i] || offset <= p->position[i])
		return;
	ck_assert_int_eq(offset, RECORDS);
	p->position[i] = p->ends[i] = offset;
}

static void on_fault(void *ctx, struct source_partition *sp, enum source_fault fault,
		     const char *text)
{
	(void)ctx;
	(void)sp;
	ck_abort_msg("fault %d: %s", (int)fault, text);
}

static void on_fatal(void *ctx, const struct err *why)
{
	struct play *p = ctx;
	snprintf(p->fatal, sizeof(p->fatal), "%s", why->text);
}

static const struct source_ops ops = {.assigned = on_assigned,
				      .revoked = on_revoked,
				      .message = on_message,
				      .eof = on_eof,
				      .fault = on_fault,
				      .fatal = on_fatal};

/* Which records a partition took since it was durable are known by their keys alone: all from
 * there on are marked as not taken where they were this partition's. */
static int8_t owner[FILES][RECORDS];

static bool remember_owner(void *ctx, const struct source_message *m)
{
	size_t i = index_of(m->sp);
	owner[i / FILES_PARTITIONS][m->offset] = (int8_t)(i % FILES_PARTITIONS);
	return on_message(ctx, m);
}

static void take_back(struct play *p, size_t i)
{
	size_t file = i / FILES_PARTITIONS;
	source_pause(p->source, p->sps[i]);
	for (int64_t n = p->durable[i]; n < RECORDS; n++)
		if (owner[file][n] == (int8_t)(i % FILES_PARTITIONS))
			p->taken[file][n] = false;
	p->position[i] = p->durable[i];
	p->on[i] = false;
	p->taken_back++;
}

/* What the pipeline does between two polls. */
static void turn(struct play *p)
{
	struct err err = {0};
	for (size_t i = 0; i < PARTS; i++) {
		if (roll(p, 4) == 0) {
			p->durable[i] = p->position[i];
			source_commit(p->source, &p->sps[i], &p->durable[i], 1);
		}
		if (p->back && roll(p, (uint64_t)p->back) == 0)
			take_back(p, i);
		if (!p->on[i] && roll(p, 3) > 0) {
			p->on[i] = true;
			ck_assert(source_start(p->source, p->sps[i], p->position[i], &err));
		}
	}
}

static bool all_taken(const struct play *p)
{
	for (size_t i = 0; i < PARTS; i++)
		if (p->position[i] < RECORDS)
			return false;
	return true;
}

/* Of each file some partition is paused, over which the others wait. */
static bool nothing_can_come(const struct play *p)
{
	bool off[FILES] = {false};
	for (size_t i = 0; i < PARTS; i++)
		off[i / FILES_PARTITIONS] |= !p->on[i];
	return off[0] && off[1];
}

static void write_file(char *path, int file)
{
	int fd = mkstemp(path);
	FILE *out = fdopen(fd, "w");
	for (int i = 0; i < RECORDS; i++)
		fprintf(out, "{\"id\":\"%d-%d\",\"n\":%d}\n", file, i % 997, i);
	ck_assert_int_eq(fclose(out), 0);
}

static void play(int refuse, int back, uint64_t seed)
{
	char a[] = FILE_TEMPLATE, b[] = FILE_TEMPLATE, *paths[] = {a, b};
	struct config config = {.limits = {64, 1000, 10000, 10000, 2600}};
	struct err err = {0};
	struct schema *schema = rig_schema(stream_text);
	struct table *table = table_new(schema, &err);
	struct stream stream = {.reader = schema, .table = table};
	struct play p = {.dice = seed, .refuse = refuse, .back = back};
	const struct source_ops mine = {.assigned = on_assigned,
					.revoked = on_revoked,
					.message = remember_owner,
					.eof = on_eof,
					.fault = on_fault,
					.fatal = on_fatal};
	memset(owner, -1, sizeof(owner));
	write_file(a, 0);
	write_file(b, 1);
	struct files *files = files_open(&config, &stream, paths, FILES, &err);
	ck_assert_msg(files != NULL, "%s", err.text);
	p.source = filesource_open(files, &config, back ? &mine : &ops, &p, &err);
	for (int turns = 0; !p.fatal[0] && !(p.sps[0] && all_taken(&p)); turns++) {
		ck_assert_int_lt(turns, 200000);
		if (source_poll(p.source, 100) == 0) {
			struct pollfd fd = {.fd = source_fd(p.source), .events = POLLIN};
			bool rests = nothing_can_come(&p);
			ck_assert_int_eq(poll(&fd, 1, rests ? 0 : 1) > 0 && rests, false);
			p.rested += rests;
		}
		turn(&p);
	}
	ck_assert_str_eq(p.fatal, "");
	for (int f = 0; f < FILES; f++)
		for (int i = 0; i < RECORDS; i++)
			ck_assert_msg(p.taken[f][i], "file %d record %d", f, i);
	ck_assert(refuse == 0 || p.refused > 0);
	ck_assert_int_gt(p.rested, 0);
	ck_assert(back == 0 || p.taken_back > 0);
	ck_assert_int_eq(source_high_watermark(p.source, p.sps[0]), RECORDS);
	ck_assert(source_close(p.source, 0));
	ck_assert_uint_ne(p.calls & 1u << 31, 0);
	files_close(files);
	table_free(table);
	schema_free(schema);
	unlink(a);
	unlink(b);
}

START_TEST(all_in_order)
{
	play(0, 0, (uint64_t)_i);
}
END_TEST

START_TEST(refused_records)
{
	play(40, 0, (uint64_t)_i);
}
END_TEST

START_TEST(taken_back)
{
	play(200, 300, (uint64_t)_i);
}
END_TEST

static Suite *filesource_suite(void)
{
	Suite *suite = suite_create("filesource");
	TCase *tc = tcase_create("filesource");
	tcase_add_loop_test(tc, all_in_order, 0, 3);
	tcase_add_loop_test(tc, refused_records, 0, 5);
	tcase_add_loop_test(tc, taken_back, 0, 60);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(filesource_suite)
