/*
 * test_container.c - Avro containers: those of another implementation in every codec, and damaged
 * and hostile ones, each of which ends with a message that says block and offset.
 */
#include <bzlib.h>
#include <lzma.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "codec_rig.h"
#include "container_put.h"
#include "file/container.h"
#include "file/unpack.h"
#include "sanitized.h"

static const char long_schema[] = "\"long\"";

/* What a file gives: its datums behind one another, or the error that ended it. */
struct reading {
	struct buf datums;
	uint64_t records, blocks, offset;
	struct err err; /* class NONE: the file was read to its end */
};

static void read_input(struct input *in, size_t max_block, struct reading *r)
{
	struct slice datum;
	enum container_result result;
	struct container *c = container_open(in, max_block, &r->err);
	if (!c)
		return;
	while ((result = container_next(c, &datum, &r->err)) == CONTAINER_RECORD) {
		buf_put(&r->datums, datum.data, datum.len);
		r->records++;
		r->blocks = container_block(c, &r->offset);
	}
	ck_assert((result == CONTAINER_END) == (r->err.class == ERR_NONE));
	container_close(c);
}

static void read_path(const char *path, size_t max_block, struct reading *r)
{
	struct input in;
	*r = (struct reading){0};
	ck_assert_msg(input_open(&in, path, &r->err), "%s", r->err.text);
	ck_assert(container_is(&in));
	read_input(&in, max_block, r);
	input_close(&in);
}

static void read_bytes(const struct buf *b, size_t max_block, struct reading *r)
{
	char path[] = FILE_TEMPLATE;
	file_put(path, b->data, b->len);
	read_path(path, max_block, r);
	unlink(path);
}

/* Every codec, written by fastavro in many blocks, gives the datums that the plain file has. */
START_TEST(test_golden)
{
	static const char *const codecs[] = {"null",      "deflate", "snappy",
					     "zstandard", "bzip2",   "xz"};
	struct reading plain, r;
	char path[80];
	read_path("tests/golden/files/null.avro", CONTAINER_MAX_BLOCK, &plain);
	ck_assert_msg(plain.err.class == ERR_NONE, "%s", plain.err.text);
	ck_assert_uint_eq(plain.records, 300);
	ck_assert_uint_ge(plain.blocks, 2);
	/* the first: k -5000, null, no floats; the second: k -4999, "text 1 ", one float */
	ck_assert_mem_eq(plain.datums.data, "\x8f\x4e\0\0\x8d\x4e\x02\x0etext 1 \x02\0\0\x80\x3e\0",
			 20);
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		snprintf(path, sizeof(path), "tests/golden/files/%s.avro", codecs[i]);
		read_path(path, CONTAINER_MAX_BLOCK, &r);
		ck_assert_msg(r.err.class == ERR_NONE, "%s: %s", path, r.err.text);
		ck_assert_uint_eq(r.records, 300);
		ck_assert_uint_eq(r.datums.len, plain.datums.len);
		ck_assert_mem_eq(r.datums.data, plain.datums.data, plain.datums.len);
		buf_free(&r.datums);
	}
	buf_free(&plain.datums);
}
END_TEST

/* Cut off anywhere, a file gives the records before the cut, and the block where it ends is named.
 */
START_TEST(test_cut)
{
	struct buf b = {0};
	struct reading r;
	container_header(&b, long_schema, "null");
	size_t header = b.len;
	container_block_put(&b, 3, "\x02\x04\x06", 3);
	size_t first = b.len;
	container_block_put(&b, 1, "\x08", 1);
	for (size_t len = 4; len <= b.len; len++) {
		struct buf cut = {b.data, len, len};
		char where[60];
		read_bytes(&cut, 100, &r);
		bool whole = len == header || len == first || len == b.len;
		ck_assert_msg((r.err.class == ERR_NONE) == whole, "%zu: %s", len, r.err.text);
		ck_assert_uint_eq(r.records, len < first ? 0 : len < b.len ? 3 : 4);
		snprintf(where, sizeof(where), "block %d at offset %zu: the file is cut off",
			 len < first ? 1 : 2, len < first ? header : first);
		if (len < header)
			ck_assert_ptr_nonnull(
				strstr(r.err.text, "the header of the Avro container: "));
		else if (!whole)
			ck_assert_str_eq(r.err.text, where);
		if (!whole)
			ck_assert_int_eq(r.err.class, ERR_POISON);
		buf_free(&r.datums);
	}
	buf_free(&b);
}
END_TEST

/* Header: what is wrong is named; unknown metadata is not. */
static void check_header(struct buf *b, const char *error)
{
	struct reading r;
	read_bytes(b, 100, &r);
	if (error)
		ck_assert_msg(strstr(r.err.text, error) != NULL, "%s", r.err.text);
	else
		ck_assert_msg(r.err.class == ERR_NONE, "%s", r.err.text);
	ck_assert(!error || r.err.class == ERR_POISON);
	buf_free(&r.datums);
	b->len = 4; /* the magic stays */
}

START_TEST(test_headers)
{
	struct buf b = {0};
	container_header(&b, long_schema, NULL);
	check_header(&b, NULL);
	/* two blocks of metadata, the first with its size in front */
	avro_long(&b, -2);
	avro_long(&b, 1000); /* for those who skip; not looked at */
	container_entry(&b, "somebody.else", "\0\1\2", 3);
	container_entry(&b, "", "", 0);
	avro_long(&b, 1);
	container_entry(&b, "avro.schema", long_schema, sizeof(long_schema) - 1);
	avro_long(&b, 0);
	buf_put(&b, container_sync, 16);
	check_header(&b, NULL);
	avro_long(&b, 0);
	buf_put(&b, container_sync, 16);
	check_header(&b, "it has no avro.schema");
	b.len = 0;
	container_header(&b, "{\"type\":\"recrod\"}", "null");
	check_header(&b, "unknown type 'recrod'");
	b.len = 0;
	container_header(&b, long_schema, "lzo");
	check_header(&b, "codec \"lzo\" is not known; known are null, deflate, snappy, zstandard");
	avro_long(&b, 2);
	container_entry(&b, "avro.schema", long_schema, sizeof(long_schema) - 1);
	container_entry(&b, "avro.schema", long_schema, sizeof(long_schema) - 1);
	check_header(&b, "avro.schema stands twice");
	avro_long(&b, 2);
	container_entry(&b, "avro.codec", "null", 4);
	container_entry(&b, "avro.codec", "null", 4);
	check_header(&b, "avro.codec stands twice");
	avro_long(&b, 1);
	avro_long(&b, -5);
	check_header(&b, "a length of -5");
	avro_long(&b, 1);
	avro_long(&b, INT64_MAX);
	check_header(&b, "a length of 9223372036854775807");
	avro_long(&b, 1);
	avro_string(&b, "big");
	avro_long(&b, 17 * 1024 * 1024);
	check_header(&b, "a length of 17825792");
	avro_long(&b, INT64_MAX);
	for (int i = 0; i < 10; i++)
		container_entry(&b, "", "", 0);
	check_header(&b, "the file is cut off");
	buf_put(&b, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
	check_header(&b, "the header of the Avro container: ");
	buf_free(&b);
}
END_TEST

/* One block of longs, put wrongly. */
static void check_block(const char *codec, int64_t count, const void *packed, size_t n,
			const char *error)
{
	struct buf b = {0};
	struct reading r;
	container_header(&b, long_schema, codec);
	container_block_put(&b, count, packed, n);
	read_bytes(&b, 10000, &r);
	ck_assert_msg(strstr(r.err.text, error) != NULL, "%s", r.err.text);
	ck_assert_ptr_nonnull(strstr(r.err.text, "block 1 at offset "));
	ck_assert_int_eq(r.err.class, ERR_POISON);
	buf_free(&r.datums);
	buf_free(&b);
}

START_TEST(test_blocks)
{
	static const uint8_t zeros[20000];
	check_block("null", 2, "\x02\x04\x06", 3, "1 bytes are left behind its last record");
	check_block("null", 4, "\x02\x04\x06\x80", 4, "record 4 of 4: at byte ");
	check_block("null", 0, "\x02", 1, "1 bytes are left behind");
	check_block("null", -1, "\x02", 1, "it states -1 records");
	check_block("null", INT64_MAX, "\x02", 1,
		    "it states 9223372036854775807 records in 1 bytes");
	check_block("null", 10001, zeros, 10001, "it states 10001 bytes, at most 10000 are read");
	check_block("deflate", 1, "\xff\xff", 2, "the deflate data is damaged: ");
	check_block("deflate", 1, "", 0, "the deflate data is damaged: it ends early");
	check_block("snappy", 1, "abc", 3, "the snappy data is damaged: it ends early");
	check_block("snappy", 1, "\x01\0\x02zzzz", 7, "the snappy data is damaged: its checksum");
	check_block("snappy", 1, "\xff\xff\xff\xff\x0fzzzz", 9, "it unpacks to more than 10000");
	check_block("snappy", 1, "\x88\x27zzzz", 6, "it is too short for its length");
	check_block("zstandard", 1, "\x28\xb5\x2f\xfd", 4,
		    "the zstandard data is damaged: it ends");
	check_block("zstandard", 1, "abcdefgh", 8, "the zstandard data is damaged: ");
	check_block("bzip2", 1, "BZh9", 4, "the bzip2 data is damaged: it ends early");
	check_block("bzip2", 1, "abcdefgh", 8, "the bzip2 data is damaged: ");
	check_block("xz", 1,
		    "\xfd"
		    "7zXZ\0",
		    6, "the xz data is damaged: it ends early");
	check_block("xz", 1, "abcdefghijklmnop", 16, "the xz data is damaged: ");
}
END_TEST

/* A marker that is not the file's ends the file behind the block before it. */
START_TEST(test_sync)
{
	struct buf b = {0};
	struct reading r;
	container_header(&b, long_schema, NULL);
	container_block_put(&b, 1, "\x02", 1);
	size_t second = b.len;
	container_block_put(&b, 1, "\x04", 1);
	container_block_put(&b, 1, "\x06", 1);
	b.data[second + 3] ^= 1;
	char where[80];
	snprintf(where, sizeof(where), "block 2 at offset %zu: the sync marker behind its 1 bytes",
		 second);
	read_bytes(&b, 100, &r);
	ck_assert_uint_eq(r.records, 1);
	ck_assert_msg(strstr(r.err.text, where) != NULL, "%s", r.err.text);
	buf_free(&r.datums);
	buf_free(&b);
}
END_TEST

/* No blocks, empty blocks, and records without bytes: the first two are nothing, the last are few.
 */
START_TEST(test_empty)
{
	static const char nothing[] = "{\"type\":\"record\",\"name\":\"N\",\"fields\":[]}";
	struct buf b = {0};
	struct reading r;
	container_header(&b, nothing, NULL);
	for (int i = 0; i < 1000; i++)
		container_block_put(&b, 0, "", 0);
	container_block_put(&b, 7, "", 0);
	read_bytes(&b, 100, &r);
	ck_assert_msg(r.err.class == ERR_NONE, "%s", r.err.text);
	ck_assert_uint_eq(r.records, 7);
	ck_assert_uint_eq(r.blocks, 1001);
	container_block_put(&b, 1000000000, "", 0);
	read_bytes(&b, 100, &r);
	ck_assert_ptr_nonnull(strstr(r.err.text, "it states 1000000000 records in 0 bytes"));
	buf_free(&b);
}
END_TEST

enum { BOMB = 50 * 1000 * 1000 };

static size_t pack_deflate(uint8_t *packed, uint8_t *zeros)
{
	z_stream z = {.next_in = zeros, .avail_in = BOMB, .next_out = packed, .avail_out = BOMB};
	ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, 0), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static size_t pack_zstd(uint8_t *packed, uint8_t *zeros)
{
	size_t len = ZSTD_compress(packed, BOMB, zeros, BOMB, 3);
	ck_assert(!ZSTD_isError(len));
	return len;
}

static size_t pack_bzip2(uint8_t *packed, uint8_t *zeros)
{
	unsigned len = BOMB;
	ck_assert_int_eq(
		BZ2_bzBuffToBuffCompress((char *)packed, &len, (char *)zeros, BOMB, 9, 0, 0),
		BZ_OK);
	return len;
}

static size_t pack_xz(uint8_t *packed, uint8_t *zeros)
{
	size_t len = 0;
	ck_assert_int_eq(
		lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, zeros, BOMB, packed, &len, BOMB),
		LZMA_OK);
	return len;
}

static size_t pack_snappy(uint8_t *packed, uint8_t *zeros)
{
	size_t len = snappy_max_compressed_length(BOMB);
	ck_assert_int_eq(snappy_compress((char *)zeros, BOMB, (char *)packed, &len), SNAPPY_OK);
	return len + 4; /* a checksum, which is not looked at */
}

static const struct {
	const char *codec;
	size_t (*pack)(uint8_t *packed, uint8_t *zeros);
	size_t times; /* it expands so much at least */
} bombs[] = {{"deflate", pack_deflate, 1000},
	     {"zstandard", pack_zstd, 1000},
	     {"bzip2", pack_bzip2, 1000},
	     {"xz", pack_xz, 1000},
	     {"snappy", pack_snappy, 20}};

/*
 * A block that unpacks to a thousand times of it is stopped at the limit, in each codec, and no
 * more memory than the limit was taken for it.
 */
START_TEST(test_bombs)
{
	static const size_t limits[] = {10000, 20 * 1000 * 1000};
	uint8_t *zeros = xcalloc(1, BOMB), *packed = xcalloc(1, BOMB * 5 / 4);
	size_t len = bombs[_i].pack(packed, zeros);
	struct slice name = {(const uint8_t *)bombs[_i].codec, strlen(bombs[_i].codec)}, out;
	ck_assert_uint_lt(len * bombs[_i].times, BOMB);
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct unpacker *u = unpacker_new(name);
		struct err err = {0};
		allow_memory(2 * limits[i] + 16 * 1000 * 1000);
		ck_assert(!unpack(u, (struct slice){packed, len}, limits[i], &out, &err));
		ck_assert_int_eq(err.class, ERR_POISON);
		ck_assert_ptr_nonnull(strstr(err.text, "it unpacks to more than"));
		unpacker_free(u);
	}
	free(zeros);
	free(packed);
}
END_TEST

/* The limit itself is allowed, one byte more is not. */
START_TEST(test_limit)
{
	uint8_t plain[101] = {0}, packed[300];
	for (size_t n = 99; n <= 101; n++) {
		struct slice out, name = {(const uint8_t *)"zstandard", 9};
		struct err err = {0};
		size_t len = ZSTD_compress(packed, sizeof(packed), plain, n, 1);
		struct unpacker *u = unpacker_new(name);
		bool ok = unpack(u, (struct slice){packed, len}, 100, &out, &err);
		ck_assert_msg(ok == (n <= 100), "%zu: %s", n, err.text);
		ck_assert(!ok || out.len == n);
		unpacker_free(u);
		name = (struct slice){(const uint8_t *)"null", 4};
		u = unpacker_new(name);
		ck_assert(unpack(u, (struct slice){plain, n}, 100, &out, &err) == (n <= 100));
		unpacker_free(u);
	}
	ck_assert_ptr_null(unpacker_new((struct slice){(const uint8_t *)"nul", 3}));
	ck_assert_ptr_null(unpacker_new((struct slice){(const uint8_t *)"", 0}));
}
END_TEST

/* Any byte of a file may be another: never a crash, and what ends it is a POISON. */
START_TEST(test_flipped)
{
	static const char *const codecs[] = {"null",      "deflate", "snappy",
					     "zstandard", "bzip2",   "xz"};
	uint32_t seed = 1;
	for (int i = 0; i < 600; i++) {
		char path[80];
		struct buf b = {0};
		struct reading r;
		int c;
		snprintf(path, sizeof(path), "tests/golden/files/%s.avro",
			 codecs[i % (int)ARRAY_LEN(codecs)]);
		FILE *f = fopen(path, "rb");
		ck_assert_ptr_nonnull(f);
		while ((c = fgetc(f)) != EOF)
			buf_u8(&b, (uint8_t)c);
		fclose(f);
		for (int j = 0; j < 3; j++) {
			seed = seed * 1664525 + 1013904223;
			b.data[4 + (seed >> 8) % (b.len - 4)] ^= (uint8_t)(1 << seed % 8);
		}
		read_bytes(&b, 100000, &r);
		ck_assert(r.err.class == ERR_NONE || r.err.class == ERR_POISON);
		buf_free(&r.datums);
		buf_free(&b);
	}
}
END_TEST

static Suite *container_suite(void)
{
	Suite *suite = suite_create("container");
	TCase *tc = tcase_create("container");
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_golden);
	tcase_add_test(tc, test_cut);
	tcase_add_test(tc, test_headers);
	tcase_add_test(tc, test_blocks);
	tcase_add_test(tc, test_sync);
	tcase_add_test(tc, test_empty);
	tcase_add_loop_test(tc, test_bombs, 0, (int)ARRAY_LEN(bombs));
	tcase_add_test(tc, test_limit);
	tcase_add_test(tc, test_flipped);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(container_suite)
