/*
 * input.c - the bytes of a file or of standard input, unpacked if they are gzip or zstd, through a
 * window.
 *
 *   file --read--> packed[] --inflate or ZSTD--> window: | taken | p ... end | room | pad |
 *        \------------ plain: straight -----------------------------^
 *
 * What a file is, its first bytes say and not its name: "events.jsonl" may well be gzip. Formats
 * that are common and not read (UTF-16, zip, xz ...) are refused by name at the beginning, for
 * whatever else would be said of them would be said of line 1.
 *
 * Several gzip members or zstd frames behind one another are one file (as their tools have it); a
 * file that ends within one is damaged. The window grows to what the caller wants at once and
 * never shrinks; the callers bound what they want (a line, a block).
 *
 * Not seekable: it reads pipes. Thread: the owner's. Failure: after one the input is of no further
 * use.
 */
#include "file/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum {
	CHUNK = 128 * 1024,
	LOOK = 4,             /* bytes that tell what a file is */
	GZIP_WINDOW = 16 + 15 /* zlib: gzip, any window */
};

enum packing { PLAIN, GZIP, ZSTD };

struct input_parts {
	int fd;
	bool pipe;     /* or anything else that is no file */
	uint64_t read; /* bytes of it */
	enum packing packing;
	bool file_ended, between; /* between: no member or frame is open */
	uint8_t *room;            /* of the window */
	size_t cap;
	uint8_t *packed; /* CHUNK bytes */
	size_t packed_at, packed_len;
	z_stream gzip;
	ZSTD_DStream *zstd;
};

/* ---- what the first bytes say ---- */

static const struct {
	const char *magic;
	size_t len;
	const char *what; /* NULL: read */
	enum packing packing;
} formats[] = {
	{"\x1f\x8b", 2, NULL, GZIP},
	{"\x28\xb5\x2f\xfd", 4, NULL, ZSTD},
	{"\xff\xfe", 2, "UTF-16 (its byte order mark says so): save it as UTF-8", PLAIN},
	{"\xfe\xff", 2, "UTF-16 (its byte order mark says so): save it as UTF-8", PLAIN},
	{"PK\x03\x04", 4, "a zip archive (or xlsx): unpack it", PLAIN},
	{"\xfd"
	 "7zX",
	 4, "packed with xz: unpack it, or pack it with gzip or zstd", PLAIN},
	{"BZh", 3, "packed with bzip2: unpack it, or pack it with gzip or zstd", PLAIN},
	{"PAR1", 4, "Parquet: JSON lines and Avro containers are read", PLAIN},
};

/* By its first bytes; what is none of the formats is plain. */
static bool recognise(struct input *in, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (input_has(in) < formats[i].len ||
		    memcmp(in->p, formats[i].magic, formats[i].len) != 0)
			continue;
		if (formats[i].what)
			return err_set(err, ERR_POISON, "it is %s", formats[i].what);
		in->parts->packing = formats[i].packing;
		return true;
	}
	return true;
}

/* What was read to look at is the first of the packed bytes. */
static bool begin_unpacking(struct input *in, struct err *err)
{
	struct input_parts *x = in->parts;
	x->between = true;
	x->packed = xmalloc(CHUNK);
	x->packed_len = input_has(in);
	memcpy(x->packed, in->p, x->packed_len);
	in->end = in->p;
	in->ended = false;
	if (x->packing == GZIP && inflateInit2(&x->gzip, GZIP_WINDOW) != Z_OK)
		return err_set(err, ERR_FATAL, "zlib cannot be used");
	if (x->packing == ZSTD)
		x->zstd = ZSTD_createDStream();
	return x->packing != ZSTD || x->zstd || err_set(err, ERR_FATAL, "libzstd cannot be used");
}

/* ---- reading ---- */

/* An interrupted read may be tried again; any other error ends the input. */
static bool read_some(struct input *in, uint8_t *p, size_t n, size_t *got, struct err *err)
{
	ssize_t len = read(in->parts->fd, p, n);
	*got = len > 0 ? (size_t)len : 0;
	in->parts->read += *got;
	in->parts->file_ended = len == 0;
	if (len >= 0)
		return true;
	return err_set(err, errno == EINTR ? ERR_RETRY : ERR_CONFIG, "%s", strerror(errno));
}

static bool damaged(const struct input *in, const char *what, struct err *err)
{
	unsigned long long good = in->offset + input_has(in);
	return err_set(err, ERR_POISON, "the %s data is damaged behind %llu unpacked bytes: %s",
		       in->parts->packing == GZIP ? "gzip" : "zstd", good, what);
}

/* Between two members zlib has to begin anew. */
static bool gunzip(struct input *in, size_t n, struct err *err)
{
	struct input_parts *x = in->parts;
	if (x->between && inflateReset(&x->gzip) != Z_OK)
		return err_set(err, ERR_FATAL, "zlib cannot be used");
	x->gzip.next_in = x->packed + x->packed_at;
	x->gzip.avail_in = (uInt)(x->packed_len - x->packed_at);
	x->gzip.next_out = in->end;
	x->gzip.avail_out = (uInt)n;
	int code = inflate(&x->gzip, Z_NO_FLUSH);
	x->packed_at = x->packed_len - x->gzip.avail_in;
	in->end = x->gzip.next_out;
	x->between = code == Z_STREAM_END;
	if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR)
		return true;
	return damaged(in, x->gzip.msg ? x->gzip.msg : "it does not unpack", err);
}

/* It begins the next frame by itself. */
static bool unzstd(struct input *in, size_t n, struct err *err)
{
	struct input_parts *x = in->parts;
	ZSTD_inBuffer from = {x->packed, x->packed_len, x->packed_at};
	ZSTD_outBuffer to = {in->end, n, 0};
	size_t code = ZSTD_decompressStream(x->zstd, &to, &from);
	x->packed_at = from.pos;
	in->end += to.pos;
	x->between = code == 0;
	return !ZSTD_isError(code) || damaged(in, ZSTD_getErrorName(code), err);
}

/* Unpacks into at most n bytes behind the window, or finds that the file has ended. */
static bool unpack_some(struct input *in, size_t n, struct err *err)
{
	struct input_parts *x = in->parts;
	uint8_t *before = in->end;
	while (in->end == before) {
		if (x->packed_at == x->packed_len && !x->file_ended) {
			x->packed_at = 0;
			if (!read_some(in, x->packed, CHUNK, &x->packed_len, err))
				return false;
		}
		bool empty = x->packed_at == x->packed_len;
		if (empty && x->between) {
			in->ended = true;
			return true;
		}
		if (!(x->packing == GZIP ? gunzip(in, n, err) : unzstd(in, n, err)))
			return false;
		if (empty && in->end == before && !x->between)
			return damaged(in, "the file is cut off", err);
	}
	return true;
}

/* Room for n bytes in the window, and the pad; what was taken makes way. */
static void make_room(struct input *in, size_t n)
{
	struct input_parts *x = in->parts;
	size_t has = input_has(in), taken = (size_t)(in->p - x->room);
	if (taken > 0 && (n > x->cap - taken || taken > x->cap / 2)) {
		memmove(x->room, in->p, has);
		taken = 0;
	}
	if (n > x->cap - taken) {
		x->cap = MAX(n, x->cap + x->cap / 2);
		x->room = xrealloc(x->room, x->cap + INPUT_PAD);
	}
	in->p = x->room + taken;
	in->end = in->p + has;
}

/* Less than n only where the input has ended. */
bool input_want(struct input *in, size_t n, struct err *err)
{
	struct input_parts *x = in->parts;
	if (input_has(in) >= n || in->ended)
		return true;
	make_room(in, MAX(n, input_has(in) + 1));
	while (input_has(in) < n && !in->ended) {
		size_t got, room = x->cap - (size_t)(in->end - x->room);
		if (x->packing != PLAIN) {
			if (!unpack_some(in, room, err))
				return false;
		} else {
			if (!read_some(in, in->end, room, &got, err))
				return false;
			in->end += got;
			in->ended = x->file_ended;
		}
	}
	memset(in->end, 0, INPUT_PAD);
	return true;
}

uint64_t input_read(const struct input *in)
{
	return in->parts->read;
}

bool input_waits(const struct input *in)
{
	struct pollfd fd = {.fd = in->parts->fd, .events = POLLIN};
	return in->parts->pipe && !in->parts->file_ended && poll(&fd, 1, 0) == 0;
}

/* ---- open and close ---- */

/* A directory can be opened, so it is asked for. */
static bool open_file(struct input *in, const char *path, struct err *err)
{
	struct stat st;
	if (strcmp(path, "-") == 0) {
		in->parts->fd = STDIN_FILENO;
		in->name = "standard input";
	} else {
		in->parts->fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (in->parts->fd < 0 || fstat(in->parts->fd, &st) != 0)
		return err_set(err, ERR_CONFIG, "%s", strerror(errno));
	in->parts->pipe = !S_ISREG(st.st_mode);
	return !S_ISDIR(st.st_mode) || err_set(err, ERR_CONFIG, "it is a directory");
}

static void begin(struct input *in, const char *name, size_t room)
{
	*in = (struct input){.name = name, .parts = xcalloc(1, sizeof(*in->parts))};
	struct input_parts *x = in->parts;
	x->fd = -1;
	x->cap = room;
	x->room = xcalloc(1, room + INPUT_PAD);
	in->p = in->end = x->room;
}

/* On failure input_close() is still the caller's to call. */
bool input_open(struct input *in, const char *path, struct err *err)
{
	begin(in, path, CHUNK);
	struct input_parts *x = in->parts;
	return (open_file(in, path, err) && input_want(in, LOOK, err) && recognise(in, err) &&
		(x->packing == PLAIN || (begin_unpacking(in, err) && input_want(in, LOOK, err)))) ||
	       err_wrap(err, "%s", in->name);
}

void input_open_bytes(struct input *in, const char *name, struct slice bytes)
{
	begin(in, name, bytes.len);
	memcpy(in->p, bytes.data, bytes.len);
	in->end = in->p + bytes.len;
	in->ended = in->parts->file_ended = true;
}

/* NULL parts are fine: of an input that was never opened. */
void input_close(struct input *in)
{
	struct input_parts *x = in->parts;
	if (!x)
		return;
	if (x->fd > STDIN_FILENO)
		close(x->fd);
	if (x->packing == GZIP)
		inflateEnd(&x->gzip);
	ZSTD_freeDStream(x->zstd);
	free(x->packed);
	free(x->room);
	free(x);
	in->parts = NULL;
}
