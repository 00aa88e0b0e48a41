/*
 * test_hostile.c - messages made to kill or stall a decoder. Each defect of Avro-C 1.11 that is
 * known to take a process down, or to take wrong data for good, has a test here that ours answers
 * with an error, quickly, and takes the next message.
 *
 * Each datum stands once in a field that the table has, and once in one that is skipped.
 */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec_rig.h"
#include "sanitized.h"

enum { SECOND = 1000000 };

/*
 * A stream whose field x has that type in the writer's schema, and is a column of the table or not.
 */
static void open_with(struct rig *r, const char *type, bool column)
{
	char *writer = xasprintf("{'name':'x','type':%s}", type);
	char *reader = xasprintf("{'name':'x','type':%s,'pg':{'type':'jsonb'}}", type);
	rig_open_fields(r, writer, column ? reader : "");
	free(writer);
	free(reader);
}

/*
 * What r->in holds is refused within a second, and a good datum is taken afterwards by the same
 * decoder.
 */
static void refused_in_time(struct rig *r, enum dead_reason reason, const char *words,
			    const struct buf *good)
{
	int64_t start = clock_mono_us();
	rig_refused(r, reason, words);
	ck_assert_int_lt(clock_mono_us() - start, SECOND);
	r->in.len = 0;
	buf_put(&r->in, good->data, good->len);
	rig_decode(r);
}

/* key 1, then the bytes. */
static void put_event(struct buf *b, const void *bytes, size_t n)
{
	b->len = 0;
	avro_long(b, 1);
	buf_put(b, bytes, n);
}

#define PUT_EVENT(b, bytes) put_event(b, bytes, sizeof(bytes) - 1)

/*
 * Proves that a list of 100,000 records in each other, a valid datum of 100 kB, is refused; Avro-C
 * overflows its stack.
 */
START_TEST(test_deep_recursion)
{
	static const char type[] = "['null',{'type':'record','name':'Node','fields':[{'name':'next'"
				   ",'type':['null','Node']}]}]";
	struct buf good = {0};
	PUT_EVENT(&good, "\2\2\2\0");
	for (int column = 0; column < 2; column++) {
		struct rig r;
		open_with(&r, type, column);
		avro_long(&r.in, 1);
		memset(buf_take(&r.in, 100000), 2, 100000);
		buf_u8(&r.in, 0);
		refused_in_time(&r, REASON_TOO_LARGE, "limits.max_depth", &good);
		rig_free(&r);
	}
	buf_free(&good);
}
END_TEST

/*
 * Proves that items without bytes are charged: 20 million nulls in 5 bytes, which Avro-C makes 80
 * MB of; also in sized blocks and as records.
 */
START_TEST(test_items_without_bytes)
{
	static const struct {
		const char *type, *bytes;
		size_t len;
	} rows[] = {
		{"{'type':'array','items':'null'}", "\x80\xb4\x89\x13\0", 5},
		/* -20 million, 0 bytes */
		{"{'type':'array','items':'null'}", "\xff\xb3\x89\x13\0\0", 6},
		{"{'type':'array','items':{'type':'record','name':'E','fields':[]}}",
		 "\x80\xb4\x89\x13\0", 5},
		{"{'type':'array','items':{'type':'fixed','name':'F','size':0}}",
		 "\x80\xb4\x89\x13\0", 5},
		{"{'type':'array','items':'null'}", "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0",
		 11},
		{"{'type':'map','values':'null'}", "\x80\xb4\x89\x13\0", 5},
	};
	struct buf good = {0};
	PUT_EVENT(&good, "\0");
	for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		struct rig r;
		open_with(&r, rows[i / 2].type, i % 2);
		put_event(&r.in, rows[i / 2].bytes, rows[i / 2].len);
		refused_in_time(&r, REASON_TOO_LARGE, "limits.max_items", &good);
		rig_free(&r);
	}
	buf_free(&good);
}
END_TEST

/*
 * Proves that records without bytes are charged, too: 24 types of record, each with two fields of
 * the one before, are no bytes and 16 million values. The schema of a message is whatever a
 * registry says.
 */
START_TEST(test_values_without_bytes)
{
	struct buf type = {0};
	buf_puts(&type, "{'type':'record','name':'R24','fields':[");
	for (int i = 23; i >= 0; i--)
		buf_printf(&type, "{'name':'a','type':{'type':'record','name':'R%d','fields':[", i);
	for (int i = 0; i <= 23; i++)
		buf_printf(&type, "]}},{'name':'b','type':'R%d'}", i);
	buf_puts(&type, "]}");
	struct rig r;
	open_with(&r, buf_cstr(&type), false);
	avro_long(&r.in, 1);
	int64_t start = clock_mono_us();
	rig_refused(&r, REASON_TOO_LARGE, "limits.max_items");
	ck_assert_int_lt(clock_mono_us() - start, SECOND);
	rig_free(&r);
	buf_free(&type);
}
END_TEST

/*
 * Proves that indices of enums and unions are compared with how many there are; Avro-C takes symbol
 * 99 of 2.
 */
START_TEST(test_index_out_of_range)
{
	static const struct {
		const char *type, *bytes;
		size_t len;
		const char *words;
	} rows[] = {
		{"{'type':'enum','name':'E','symbols':['A','B']}", "\xc6\1", 2, "of 2"}, /* 99 */
		{"{'type':'enum','name':'E','symbols':['A','B']}", "\4", 1, "of 2"},     /* 2 */
		{"{'type':'enum','name':'E','symbols':['A','B']}", "\1", 1, "of 2"},     /* -1 */
		{"['boolean','string']", "\4", 1, "of 2"},
		{"['boolean','string']", "\1", 1, "of 2"},
		/* 2^32: 0 if cut to 32 bits */
		{"['boolean','string']", "\x80\x80\x80\x80\x20", 5, "more bits"},
	};
	struct buf good = {0};
	PUT_EVENT(&good, "\0\0"); /* symbol A needs one byte, the union's false two */
	for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		struct rig r;
		open_with(&r, rows[i / 2].type, i % 2);
		good.len = i / 2 < 3 ? 2 : 3;
		put_event(&r.in, rows[i / 2].bytes, rows[i / 2].len);
		refused_in_time(&r, REASON_DECODE, rows[i / 2].words, &good);
		rig_free(&r);
	}
	buf_free(&good);
}
END_TEST

/* Decodes with 64 MiB of address space more than there is in use. 0: refused as it should be. */
static int decode_in_little_space(struct rig *r)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%ld", &pages) != 1)
		return 2;
	fclose(f);
	rlim_t space = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (64 << 20);
	struct rlimit limit = {space, space};
	if (setrlimit(RLIMIT_AS, &limit) != 0)
		return 2;
	for (int i = 0; i < 1000; i++) /* what leaks a little each time adds up */
		if (decode_record(r->decoder, r->plan, (struct slice){r->in.data, r->in.len},
				  &r->out, &r->record, &r->err) ||
		    r->record.reason != REASON_DECODE)
			return 1;
	return 0;
}

/*
 * Proves that a length is compared with what is left before anything is taken for it: strings,
 * bytes, map keys and arrays that claim 1 GiB in a few bytes are refused a thousand times with 64
 * MiB to spare (where no sanitizer needs the address space).
 */
START_TEST(test_length_without_data)
{
	static const struct {
		const char *type, *bytes;
		size_t len;
	} rows[] = {
		{"'string'", "\x80\x80\x80\x80\x08 abc", 9},
		{"'bytes'", "\x80\x80\x80\x80\x08 abc", 9},
		{"{'type':'map','values':'int'}", "\2\x80\x80\x80\x80\x08", 6},
		{"{'type':'array','items':'float'}", "\x80\x10 abc", 6}, /* 1024 floats */
		{"{'type':'array','items':'string'}", "\2\x80\x80\x80\x80\x08", 6},
		{"'string'", "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01 abc", 14}, /* INT64_MAX */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		struct rig r;
		open_with(&r, rows[i / 2].type, i % 2);
		put_event(&r.in, rows[i / 2].bytes, rows[i / 2].len);
		rig_refused(&r, REASON_DECODE, "ends inside");
		ck_assert_uint_lt(r.out.cap, 1 << 20);
		if (!SANITIZED) {
			int status = -1;
			pid_t child = fork();
			ck_assert_int_ge(child, 0);
			if (child == 0)
				_exit(decode_in_little_space(&r));
			ck_assert_int_eq(waitpid(child, &status, 0), child);
			ck_assert_int_eq(status, 0);
		}
		rig_free(&r);
	}
}
END_TEST

/*
 * Proves that negative lengths, sizes and impossible counts are errors of the datum; Avro-C reports
 * them as "out of memory".
 */
START_TEST(test_negative_lengths)
{
	static const struct {
		const char *type, *bytes;
		size_t len;
		const char *words;
	} rows[] = {
		{"'string'", "\1", 1, "negative"},
		{"'bytes'", "\x9d\x01", 2, "negative"},
		/* INT64_MIN */
		{"'string'", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, "negative"},
		{"{'type':'map','values':'int'}", "\2\1\2\0", 4, "negative"},
		/* a block of -1 bytes */
		{"{'type':'array','items':'int'}", "\1\1\2\0", 4, "size"},
		{"{'type':'array','items':'int'}", "\1\x80\x10\2\0", 5, "size"}, /* of 1024 */
		{"{'type':'array','items':'int'}", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\2\2\0",
		 13, "count"},
		{"'long'", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "more bits"},
		{"'int'", "\xff\xff\xff\xff\x7f", 5, "more bits"},
		{"'boolean'", "\2", 1, "boolean"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		struct rig r;
		open_with(&r, rows[i / 2].type, i % 2);
		put_event(&r.in, rows[i / 2].bytes, rows[i / 2].len);
		rig_refused(&r, REASON_DECODE, rows[i / 2].words);
		rig_free(&r);
	}
}
END_TEST

/*
 * Proves that a small message cannot become a large row: defaults that repeat with each item, and
 * bytes that become escapes.
 */
START_TEST(test_growth)
{
	char filler[2001];
	memset(filler, 'x', sizeof(filler) - 1);
	filler[sizeof(filler) - 1] = '\0';
	char *reader = xasprintf(
		"{'name':'x','type':{'type':'array','items':{'type':'record','name':'I','fields':["
		"{'name':'d','type':'string','default':'%s'}]}},'pg':{'type':'jsonb'}}",
		filler);
	struct rig r;
	rig_open_fields(&r,
			"{'name':'x','type':{'type':'array','items':{'type':'record','name':'I','"
			"fields':[]}}}",
			reader);
	free(reader);
	avro_long(&r.in, 1);
	avro_long(&r.in, 9999); /* 20 MB of JSON */
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_TOO_LARGE, "limits.max_string");
	ck_assert_uint_lt(r.out.cap, 1 << 20);
	rig_free(&r);

	open_with(&r, "{'type':'array','items':'bytes'}", true);
	avro_long(&r.in, 1);
	avro_long(&r.in, 2);
	for (int i = 0; i < 2; i++) {
		avro_long(&r.in, 90000); /* 540 kB of \u0001 */
		memset(buf_take(&r.in, 90000), 1, 90000);
	}
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_TOO_LARGE, "limits.max_string");
	rig_free(&r);
}
END_TEST

static Suite *hostile_suite(void)
{
	Suite *s = suite_create("hostile");
	TCase *t = tcase_create("messages");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_deep_recursion);
	tcase_add_test(t, test_items_without_bytes);
	tcase_add_test(t, test_values_without_bytes);
	tcase_add_test(t, test_index_out_of_range);
	tcase_add_test(t, test_length_without_data);
	tcase_add_test(t, test_negative_lengths);
	tcase_add_test(t, test_growth);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(hostile_suite)
