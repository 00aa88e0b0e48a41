/*
 * test_input.c - files come out as their bytes and lines, plain or packed, in whatever pieces the
 * system gives them; what cannot be read is named.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "container_put.h"
#include "file/input.h"
#include "file/lines.h"
#include "sanitized.h"

/* The lines of a file, each in brackets; [!] for one that is too long, a text for what ends it. */
static void read_lines(const char *path, size_t max, struct buf *out)
{
	struct input in;
	struct err err = {0};
	char *text;
	size_t len;
	if (!input_open(&in, path, &err)) {
		buf_puts(out, err.text);
		input_close(&in);
		return;
	}
	struct lines l = {.in = &in, .max = max};
	for (;;) {
		switch (lines_next(&l, &text, &len, &err)) {
		case LINES_LINE:
			ck_assert_int_eq(text[len], 0);
			buf_printf(out, "[%.*s]", (int)len, text);
			continue;
		case LINES_BAD:
			buf_puts(out, "[!]");
			continue;
		case LINES_END:
			buf_printf(out, "%llu at %llu", (unsigned long long)l.number,
				   (unsigned long long)l.offset);
			break;
		case LINES_BROKEN:
			buf_puts(out, err.text);
			break;
		}
		break;
	}
	input_close(&in);
}

static void check_bytes(const void *bytes, size_t n, size_t max, const char *wanted)
{
	char path[] = FILE_TEMPLATE;
	struct buf out = {0};
	file_put(path, bytes, n);
	read_lines(path, max, &out);
	if (*wanted == '*') /* behind the file's name */
		ck_assert_msg(strstr(buf_cstr(&out), wanted + 1) != NULL, "%s", out.data);
	else
		ck_assert_str_eq(buf_cstr(&out), wanted);
	buf_free(&out);
	unlink(path);
}

#define LINES(bytes, wanted) check_bytes(bytes, sizeof(bytes) - 1, 10, wanted)

/* Ends of lines, byte order marks, and a last line without an end. */
START_TEST(test_lines)
{
	LINES("", "0 at 0");
	LINES("\n", "[]1 at 0");
	LINES("a", "[a]1 at 0");
	LINES("a\nb", "[a][b]2 at 2");
	LINES("a\r\nb\r\n", "[a][b]2 at 3");
	LINES("a\rb\n", "[a\rb]1 at 0");
	LINES("\n\n\n", "[][][]3 at 2");
	LINES("\xef\xbb\xbf"
	      "a\nb\n",
	      "[a][b]2 at 5");
	LINES("a\n\xef\xbb\xbf"
	      "b\n",
	      "[a][b]2 at 2");
	LINES("\xef\xbb\xbf", "[]1 at 0");
	LINES("\xef\xbb", "[\xef\xbb]1 at 0");
	LINES("\r\n", "[]1 at 0");
	LINES("\r", "[]1 at 0");
}
END_TEST

/* A line of just the limit is one, a longer one is passed over and the next one is right. */
START_TEST(test_long_lines)
{
	LINES("0123456789\nb", "[0123456789][b]2 at 11");
	LINES("0123456789a\nb", "[!][b]2 at 12");
	LINES("0123456789a", "[!]1 at 0");
	LINES("a\n0123456789abcdef\nb\n", "[a][!][b]3 at 19");
	/* far beyond what stands in memory at once */
	struct buf b = {0}, wanted = {0};
	for (int i = 0; i < 3; i++) {
		memset(buf_take(&b, 700000 + (size_t)i * 100000), 'x', 700000 + (size_t)i * 100000);
		buf_puts(&b, "\ny\n");
		buf_puts(&wanted, "[!][y]");
	}
	buf_puts(&wanted, "6 at 2400007");
	check_bytes(b.data, b.len, 1000, buf_cstr(&wanted));
	buf_free(&b);
	buf_free(&wanted);
}
END_TEST

static void gzip(const void *bytes, size_t n, struct buf *out)
{
	z_stream z = {.next_in = (void *)bytes, .avail_in = (uInt)n};
	size_t room = n + 1000;
	ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, 0), Z_OK);
	z.next_out = buf_take(out, room);
	z.avail_out = (uInt)room;
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len -= z.avail_out;
	deflateEnd(&z);
}

static void zstd(const void *bytes, size_t n, struct buf *out)
{
	size_t room = ZSTD_compressBound(n);
	size_t len = ZSTD_compress(buf_take(out, room), room, bytes, n, 3);
	ck_assert(!ZSTD_isError(len));
	out->len -= room - len;
}

/* Packed files are their text, members and frames behind one another are one; damage is said. */
START_TEST(test_packed)
{
	for (int kind = 0; kind < 2; kind++) {
		void (*pack)(const void *, size_t, struct buf *) = kind ? zstd : gzip;
		struct buf b = {0};
		pack("a\nb", 3, &b);
		size_t one = b.len;
		check_bytes(b.data, b.len, 10, "[a][b]2 at 2");
		pack("c\nd", 3, &b);
		pack("", 0, &b);
		check_bytes(b.data, b.len, 10, "[a][bc][d]3 at 5");
		check_bytes(b.data, one - 3, 10, "*unpacked bytes: the file is cut off");
		check_bytes(b.data, one + 5, 10, "*the file is cut off");
		b.data[one] = 'x'; /* garbage behind the first */
		check_bytes(b.data, one + 8, 10, "*data is damaged behind 3 unpacked bytes");
		b.len = 0;
		pack("", 0, &b);
		check_bytes(b.data, b.len, 10, "0 at 0");
		check_bytes(b.data, 4, 10, "*is cut off");
		buf_free(&b);
	}
}
END_TEST

/* A big packed file, whose window moves and grows. */
START_TEST(test_big)
{
	struct buf text = {0}, packed = {0}, out = {0};
	for (int i = 0; i < 20000; i++)
		buf_printf(&text, "%d %*s\n", i, i % 97, "x");
	for (int kind = 0; kind < 3; kind++) {
		char path[] = FILE_TEMPLATE;
		packed.len = out.len = 0;
		if (kind == 0)
			buf_put(&packed, text.data, text.len);
		else if (kind == 1)
			gzip(text.data, text.len, &packed);
		else
			zstd(text.data, text.len, &packed);
		file_put(path, packed.data, packed.len);
		read_lines(path, 200, &out);
		const char *p = buf_cstr(&out);
		for (int i = 0; i < 20000; i++) {
			char line[200];
			int n = snprintf(line, sizeof(line), "[%d %*s]", i, i % 97, "x");
			ck_assert_msg(memcmp(p, line, (size_t)n) == 0, "line %d", i);
			p += n;
		}
		unlink(path);
	}
	buf_free(&text);
	buf_free(&packed);
	buf_free(&out);
}
END_TEST

/*
 * A packed file of fifty thousand bytes that is a line of fifty million: the line is passed
 * over, the next one read, and memory is what the limit of a line allows.
 */
START_TEST(test_bombs)
{
	size_t n = 50 * 1000 * 1000;
	char path[] = FILE_TEMPLATE;
	struct buf packed = {0}, out = {0};
	char *zeros = xcalloc(1, n);
	memcpy(zeros + n - 6, "\nnext\n", 6);
	if (_i == 0)
		gzip(zeros, n, &packed);
	else
		zstd(zeros, n, &packed);
	free(zeros);
	ck_assert_uint_lt(packed.len * 900, n);
	file_put(path, packed.data, packed.len);
	allow_memory(16 * 1000 * 1000);
	read_lines(path, 1000 * 1000, &out);
	ck_assert_str_eq(buf_cstr(&out), "[!][next]2 at 49999995");
	unlink(path);
	buf_free(&packed);
	buf_free(&out);
}
END_TEST

/* Formats that are often met and not read are named; so are folders and files that are not there.
 */
START_TEST(test_refused)
{
	LINES("\xff\xfe{\0}\0", "*UTF-16 (its byte order mark says so): save it as UTF-8");
	LINES("\xfe\xff\0{\0}", "*UTF-16");
	LINES("PK\x03\x04zzz", "*it is a zip archive (or xlsx): unpack it");
	LINES("\xfd"
	      "7zXZ",
	      "*it is packed with xz");
	LINES("BZh91AY", "*it is packed with bzip2");
	LINES("PAR1xxxx", "*it is Parquet");
	struct buf out = {0};
	read_lines("/nowhere/at/all", 10, &out);
	ck_assert_str_eq(buf_cstr(&out), "/nowhere/at/all: No such file or directory");
	out.len = 0;
	read_lines("/tmp", 10, &out);
	ck_assert_str_eq(buf_cstr(&out), "/tmp: it is a directory");
	buf_free(&out);
}
END_TEST

/* From a pipe, byte by byte, by way of standard input. */
START_TEST(test_pipe)
{
	int ends[2], kept = dup(STDIN_FILENO);
	struct buf out = {0};
	ck_assert_int_eq(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		for (const char *p = "one\ntwo\nthree"; *p; p++)
			if (write(ends[1], p, 1) != 1)
				_exit(1);
		_exit(0);
	}
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	read_lines("-", 10, &out);
	dup2(kept, STDIN_FILENO);
	close(kept);
	close(ends[0]);
	ck_assert_str_eq(buf_cstr(&out), "[one][two][three]3 at 8");
	buf_free(&out);
}
END_TEST

static Suite *input_suite(void)
{
	Suite *suite = suite_create("input");
	TCase *tc = tcase_create("input");
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_lines);
	tcase_add_test(tc, test_long_lines);
	tcase_add_test(tc, test_packed);
	tcase_add_test(tc, test_big);
	tcase_add_loop_test(tc, test_bombs, 0, 2);
	tcase_add_loop_test(tc, test_bombs, 0, 2);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_pipe);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(input_suite)
