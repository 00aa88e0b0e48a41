/*
 * test_reads.c - files whose nth read(2) fails or brings one byte alone, for n = 1, 2, ... until
 * all reads went well.
 *
 * read() of the whole test program is this file's by way of the linker (--wrap); it is the real one
 * unless a test is at it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "container_put.h"
#include "file/records.h"
#include "schema/schema.h"
#include "unit.h"

static struct {
	int n;     /* the nth call from now fails; 0: none */
	int error; /* with this errno; 0: it has one byte at most */
} plan;

ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n)
{
	bool now = plan.n > 0 && --plan.n == 0;
	if (now && plan.error) {
		errno = plan.error;
		return -1;
	}
	return __real_read(fd, p, now && n > 1 ? 1 : n);
}

static const char schema_text[] =
	"{\"type\":\"record\",\"name\":\"R\",\"pg\":{\"table\":\"t\",\"key\":[\"k\"]},\"fields\":["
	"{\"name\":\"k\",\"type\":\"long\"},{\"name\":\"s\",\"type\":\"string\"}]}";

static struct table *table;

/* All datums of the file into out, each with its length in front. False: err. */
static bool read_all(const char *path, struct buf *out, struct err *err)
{
	struct slice datum = {0};
	enum records_result result;
	out->len = 0;
	struct records *r = records_open(path, table, err);
	if (!r)
		return false;
	while ((result = records_next(r, &datum, err)) == RECORDS_RECORD) {
		buf_be32(out, (uint32_t)datum.len);
		buf_put(out, datum.data, datum.len);
	}
	ck_assert_msg(result != RECORDS_BAD, "%s", err->text);
	records_close(r);
	return result == RECORDS_END;
}

/* What was read until then is the beginning of what is there. */
static void begins(const struct buf *some, const struct buf *all)
{
	ck_assert_uint_le(some->len, all->len);
	ck_assert(some->len == 0 || memcmp(some->data, all->data, some->len) == 0);
}

/* How many reads failed until none did. */
static int fail_each(const char *path, int error, enum err_class class)
{
	struct buf all = {0}, some = {0};
	struct err err = {0};
	plan.n = 0;
	ck_assert_msg(read_all(path, &all, &err), "%s", err.text);
	ck_assert_uint_gt(all.len, 0);
	plan.error = error;
	for (int n = 1;; n++) {
		plan.n = n;
		bool ok = read_all(path, &some, &err);
		bool reached = plan.n == 0;
		plan.n = 0;
		begins(&some, &all);
		if (!reached || error == 0)
			ck_assert_msg(ok && some.len == all.len, "%s, read %d: %s", path, n,
				      err.text);
		else
			ck_assert_msg(!ok && err.class == class && strstr(err.text, path) &&
					      strstr(err.text, strerror(error)),
				      "%s, read %d: %s", path, n, err.text);
		if (reached)
			continue;
		buf_free(&all);
		buf_free(&some);
		return n - 1;
	}
}

/* Lines of several times what is read at once; every fourth number is another. */
static void put_lines(struct buf *out)
{
	for (int i = 0; i < 12000; i++)
		buf_printf(out, "{\"k\": %d, \"s\": \"line %d\"}\n", i / 4, i * 7919);
}

static void put_csv(struct buf *out)
{
	buf_puts(out, "k,s\n");
	for (int i = 0; i < 30000; i++)
		buf_printf(out, "%d,\"line\n%d\"\n", i / 4, i * 7919);
}

static void put_gzip(struct buf *out)
{
	struct buf lines = {0};
	put_lines(&lines);
	z_stream z = {.next_in = lines.data, .avail_in = (uInt)lines.len};
	ck_assert_int_eq(deflateInit2(&z, 0, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.avail_out = (uInt)deflateBound(&z, lines.len);
	z.next_out = buf_take(out, z.avail_out);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len -= z.avail_out;
	deflateEnd(&z);
	buf_free(&lines);
}

static void put_container(struct buf *out)
{
	struct buf datum = {0};
	avro_long(&datum, 7);
	avro_string(&datum, "text");
	container_header(out, schema_text, NULL);
	for (int i = 0; i < 6000; i++)
		container_block_put(out, 1, datum.data, datum.len);
	buf_free(&datum);
}

static void (*const makers[])(struct buf *out) = {put_lines, put_csv, put_gzip, put_container};

/*
 * In each format: what was read before is the same, a signal is told from a disk that fails, and a
 * short read changes nothing.
 */
START_TEST(reads)
{
	char path[] = FILE_TEMPLATE;
	struct buf bytes = {0};
	struct err err = {0};
	struct schema *schema = schema_parse(schema_text, sizeof(schema_text) - 1, &err);
	ck_assert_msg(schema != NULL, "%s", err.text);
	table = table_new(schema, &err);
	ck_assert_msg(table != NULL, "%s", err.text);
	makers[_i](&bytes);
	file_put(path, bytes.data, bytes.len);
	ck_assert_int_gt(fail_each(path, EINTR, ERR_RETRY), 1);
	ck_assert_int_gt(fail_each(path, EIO, ERR_CONFIG), 1);
	ck_assert_int_gt(fail_each(path, 0, ERR_NONE), 1);
	unlink(path);
	buf_free(&bytes);
	table_free(table);
	schema_free(schema);
}
END_TEST

static Suite *reads_suite(void)
{
	Suite *s = suite_create("reads");
	TCase *tc = tcase_create("reads");
	tcase_add_loop_test(tc, reads, 0, (int)ARRAY_LEN(makers));
	suite_add_tcase(s, tc);
	return s;
}

UNIT_SUITE(reads_suite)
