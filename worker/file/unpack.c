/*
 * unpack.c - the codecs of Avro container files: one packed block to its bytes, within a limit.
 *
 *   null       the block itself
 *   deflate    RFC 1951, without zlib's envelope. Python's writers leave a part of that envelope
 *              behind the data, so what stands behind is passed over
 *   snappy     one raw snappy block, then the CRC-32 of the unpacked bytes, big-endian
 *   zstandard  frames of zstd
 *   bzip2, xz  a stream of each
 *
 * (Avro 1.11 specification, "Required Codecs" and "Optional Codecs".) Each is the library that
 * made the format; Avro-C, which bundles some of them, decides at its build which, and trusts
 * sizes.
 *
 * A block says how many records it has, not how many bytes they unpack to: a hundred bytes may
 * become gigabytes. So memory grows as bytes come out and never past the limit, and nobody's
 * statement of a size is believed first. zstd and xz may ask for a window of their own: bounded
 * too.
 *
 * Thread: the owner's. Memory: the largest block so far.
 */
#include "file/unpack.h"

#include <bzlib.h>
#include <lzma.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
	FIRST_ROOM = 64 * 1024,
	RAW_DEFLATE = -15, /* zlib: no envelope, largest window */
	SNAPPY_CRC = 4,
	XZ_MEMORY = 128 * 1024 * 1024,
	ZSTD_WINDOW_LOG = 26,
};

struct unpacker {
	const struct codec *codec;
	struct buf bytes;
	size_t max;
	struct err *err; /* of one call */
};

struct codec {
	const char *name;
	bool (*run)(struct unpacker *u, struct slice packed);
};

static bool damaged(struct unpacker *u, const char *what)
{
	return err_set(u->err, ERR_POISON, "the %s data is damaged: %s", u->codec->name, what);
}

static bool too_large(struct unpacker *u)
{
	return err_set(u->err, ERR_POISON, "it unpacks to more than %zu bytes", u->max);
}

static bool broken_library(struct unpacker *u)
{
	return err_set(u->err, ERR_FATAL, "the library for %s cannot be used", u->codec->name);
}

/* Room for more behind bytes.len; false at the limit. The limit itself may be filled: one more byte
 * of room tells whether there is more. */
static bool more_room(struct unpacker *u, size_t *room)
{
	struct buf *b = &u->bytes;
	if (b->len > u->max)
		return too_large(u);
	if (b->cap == b->len)
		buf_grow(b, MIN(MAX(b->cap, (size_t)FIRST_ROOM), u->max + 1 - b->len));
	*room = MIN(b->cap - b->len, u->max + 1 - b->len);
	return true;
}

/* ---- one after another ---- */

/* Room for as much again each time, up to the limit. */
static bool inflate_all(struct unpacker *u, z_stream *z)
{
	size_t room = 0;
	int code = Z_OK;
	while (code == Z_OK) {
		if (!more_room(u, &room))
			return false;
		z->next_out = u->bytes.data + u->bytes.len;
		z->avail_out = (uInt)room;
		code = inflate(z, Z_NO_FLUSH);
		u->bytes.len += room - z->avail_out;
	}
	if (code == Z_STREAM_END)
		return true;
	return damaged(u, code == Z_BUF_ERROR ? "it ends early" : z->msg ? z->msg : "no deflate");
}

/* RAW: without zlib's head and tail. */
static bool run_deflate(struct unpacker *u, struct slice packed)
{
	z_stream z = {.next_in = (uint8_t *)packed.data, .avail_in = (uInt)packed.len};
	if (inflateInit2(&z, RAW_DEFLATE) != Z_OK)
		return broken_library(u);
	bool ok = inflate_all(u, &z);
	inflateEnd(&z);
	return ok;
}

/* The one codec that states its length; it is believed only if it is likely. */
static bool run_snappy(struct unpacker *u, struct slice packed)
{
	const char *from = (const char *)packed.data;
	size_t len = 0;
	if (packed.len < SNAPPY_CRC)
		return damaged(u, "it ends early");
	packed.len -= SNAPPY_CRC;
	if (snappy_uncompressed_length(from, packed.len, &len) != SNAPPY_OK)
		return damaged(u, "it states no length");
	if (len > u->max)
		return too_large(u);
	/* The shortest way to say 64 bytes takes 3: what states more is not believed. */
	if (len / 64 > packed.len)
		return damaged(u, "it is too short for its length");
	if (snappy_uncompress(from, packed.len, (char *)buf_take(&u->bytes, len), &len) !=
	    SNAPPY_OK)
		return damaged(u, "it does not unpack");
	u->bytes.len = len;
	if (crc32(0, u->bytes.data, (uInt)len) != get_be32(packed.data + packed.len))
		return damaged(u, "its checksum differs");
	return true;
}

/* Several frames may follow one another. */
static bool run_zstd_stream(struct unpacker *u, struct slice packed, ZSTD_DStream *z)
{
	ZSTD_inBuffer in = {packed.data, packed.len, 0};
	size_t code = 1, room = 0;
	while (in.pos < in.size || code != 0) {
		if (!more_room(u, &room))
			return false;
		ZSTD_outBuffer to = {u->bytes.data + u->bytes.len, room, 0};
		size_t before = in.pos;
		code = ZSTD_decompressStream(z, &to, &in);
		u->bytes.len += to.pos;
		if (ZSTD_isError(code))
			return damaged(u, ZSTD_getErrorName(code));
		if (code != 0 && to.pos == 0 && in.pos == before)
			return damaged(u, "it ends early");
	}
	return true;
}

/* The window is bounded as well, for it is memory that a frame can ask for. */
static bool run_zstd(struct unpacker *u, struct slice packed)
{
	ZSTD_DStream *z = ZSTD_createDStream();
	if (!z)
		return broken_library(u);
	bool ok = !ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG))
			  ? run_zstd_stream(u, packed, z)
			  : broken_library(u);
	ZSTD_freeDStream(z);
	return ok;
}

/* The library calls a lack of data no error: without progress the block ends early. */
static bool bunzip_all(struct unpacker *u, bz_stream *z)
{
	size_t room = 0;
	int code = BZ_OK;
	while (code == BZ_OK) {
		if (!more_room(u, &room))
			return false;
		z->next_out = (char *)u->bytes.data + u->bytes.len;
		z->avail_out = (unsigned)room;
		code = BZ2_bzDecompress(z);
		u->bytes.len += room - z->avail_out;
		if (code == BZ_OK && z->avail_in == 0 && z->avail_out > 0)
			return damaged(u, "it ends early");
	}
	return code == BZ_STREAM_END || damaged(u, "it does not unpack");
}

static bool run_bzip2(struct unpacker *u, struct slice packed)
{
	bz_stream z = {.next_in = (char *)packed.data, .avail_in = (unsigned)packed.len};
	if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
		return broken_library(u);
	bool ok = bunzip_all(u, &z);
	BZ2_bzDecompressEnd(&z);
	return ok;
}

/* LZMA_FINISH: all the data there will be is there. */
static bool unxz_all(struct unpacker *u, lzma_stream *z)
{
	size_t room = 0;
	lzma_ret code = LZMA_OK;
	while (code == LZMA_OK) {
		if (!more_room(u, &room))
			return false;
		z->next_out = u->bytes.data + u->bytes.len;
		z->avail_out = room;
		code = lzma_code(z, LZMA_FINISH);
		u->bytes.len += room - z->avail_out;
	}
	if (code == LZMA_STREAM_END)
		return true;
	return damaged(u, code == LZMA_BUF_ERROR        ? "it ends early"
			  : code == LZMA_MEMLIMIT_ERROR ? "it wants too much memory"
							: "it does not unpack");
}

/* The library's memory is bounded, for a stream can ask for it. */
static bool run_xz(struct unpacker *u, struct slice packed)
{
	lzma_stream z = LZMA_STREAM_INIT;
	if (lzma_stream_decoder(&z, XZ_MEMORY, LZMA_CONCATENATED) != LZMA_OK)
		return broken_library(u);
	z.next_in = packed.data;
	z.avail_in = packed.len;
	bool ok = unxz_all(u, &z);
	lzma_end(&z);
	return ok;
}

/* ---- the table ---- */

static const struct codec codecs[] = {
	{"null", NULL},          {"deflate", run_deflate}, {"snappy", run_snappy},
	{"zstandard", run_zstd}, {"bzip2", run_bzip2},     {"xz", run_xz},
};

const char *unpacker_names(void)
{
	return "null, deflate, snappy, zstandard, bzip2, xz";
}

/* NULL: no such codec. */
struct unpacker *unpacker_new(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		if (strlen(codecs[i].name) != name.len ||
		    memcmp(codecs[i].name, name.data, name.len) != 0)
			continue;
		struct unpacker *u = xcalloc(1, sizeof(*u));
		u->codec = &codecs[i];
		return u;
	}
	return NULL;
}

void unpacker_free(struct unpacker *u)
{
	if (!u)
		return;
	buf_free(&u->bytes);
	free(u);
}

/* out is the block itself where there is no codec, else good until the next call. */
bool unpack(struct unpacker *u, struct slice packed, size_t max, struct slice *out, struct err *err)
{
	u->max = max;
	u->err = err;
	u->bytes.len = 0;
	*out = packed;
	if (!u->codec->run)
		return packed.len <= max || too_large(u);
	if (!u->codec->run(u, packed))
		return false;
	if (u->bytes.len > max)
		return too_large(u);
	*out = (struct slice){u->bytes.data ? u->bytes.data : packed.data, u->bytes.len};
	return true;
}
