/*
 * log.c - makes one line of a message and its fields and hands it to stderr, never waiting for it.
 *
 *   time=2026-11-21T12:30:36.123456Z level=warn msg="partition halted" partition=3
 *   {"time":"2026-11-21T12:30:36.123456Z","level":"warn","msg":"partition halted","partition":3}
 *
 *   log_write() -> rate limit -> line, at most PIPE_BUF bytes -> as much as stderr takes at once
 *                                  |                             |
 *                               nothing: lost, counted        a part: the rest before the next line
 *
 * A line is valid UTF-8 and one line: control characters are escaped, bytes that are no UTF-8
 * become U+FFFD. Escapes are those of JSON in both formats; a logfmt value is quoted only where a
 * reader could not tell its end. A text may take half of the room that is left, so that the fields
 * behind it find theirs, and is cut there, with "..." at its end; a field for which there is no
 * room at all is left out. A pipe takes PIPE_BUF bytes whole or not at all (pipe(7)), so lines of
 * several processes on one pipe do not mix.
 *
 * A worker whose log nobody reads must not stop working: what would block is not written. The line
 * is lost and counted (log_lines_lost_total), and the next one that gets through carries the count
 * as "lost". stderr's description is shared with other processes, so O_NONBLOCK is not ours to set;
 * write_now() has what does instead. It leaves one gap: before Linux 6.4 another process may take a
 * pipe's last room between poll(2) and write(2). A regular file is trusted not to block.
 *
 * Rate limit, per call site: ten lines pass in a window of ten seconds that begins with the first;
 * the rest is counted, and the first line of a later window carries the count as "suppressed".
 *
 * Threads: any. One mutex is over limit, line and write: a site used by several threads counts
 * right, and between "there is room" and the write no thread of ours takes that room. Format and
 * level are set once, before threads start. Failure: a stderr that is closed loses lines as a full
 * one does.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "base/utf8.h"

enum { LIMIT_LINES = 10, LIMIT_WINDOW_US = 10 * 1000 * 1000 };
/* TAIL: for "suppressed", "lost" and the end of the line. */
enum { LINE_MAX_BYTES = PIPE_BUF, TAIL_BYTES = 64, ROOM = LINE_MAX_BYTES - TAIL_BYTES };
enum { TERMINAL_BYTES = 128 };

static enum log_format log_format = LOG_LOGFMT;
static enum log_level log_level = LOG_INFO;
typedef void watcher(enum log_level level, const char *msg, const struct log_field *fields);
static _Atomic(watcher *) watching;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over what follows, and the sites */
static struct {
	struct buf line;
	size_t done;  /* of line; what is behind it stderr has yet to take */
	int64_t lost; /* lines since the last that got through */
} out;

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
};

void log_init(enum log_format format, enum log_level level)
{
	log_format = format;
	log_level = level;
}

void log_watch(watcher *watch)
{
	watching = watch;
}

/* May this line pass? suppressed: how many before it did not, since the last that did. */
static bool limit_pass(struct log_site *site, int64_t now_us, uint32_t *suppressed)
{
	if (site->passed == 0 || now_us - site->window_start_us >= LIMIT_WINDOW_US) {
		site->window_start_us = now_us;
		site->passed = 0;
	}
	bool pass = site->passed < LIMIT_LINES;
	if (pass) {
		*suppressed = site->muted;
		site->muted = 0;
		site->passed++;
	} else {
		site->muted++;
	}
	return pass;
}

/* One character, or one byte that is none. Returns the bytes that it has in the text. */
static size_t put_character(struct buf *line, const unsigned char *s)
{
	size_t n = utf8_sequence(s);
	if (n == 0)
		buf_puts(line, "\xef\xbf\xbd"); /* U+FFFD */
	else if (*s == '"' || *s == '\\')
		buf_printf(line, "\\%c", *s);
	else if (*s == '\n')
		buf_puts(line, "\\n");
	else if (*s == '\t')
		buf_puts(line, "\\t");
	else if (*s < 0x20 || *s == 0x7f)
		buf_printf(line, "\\u%04x", *s);
	else
		buf_put(line, s, n);
	return n ? n : 1;
}

/* At most half of the room that the line has left, dots included. */
static void put_escaped(struct buf *line, const char *text)
{
	size_t end = line->len + (ROOM - MIN(line->len, ROOM)) / 2, cut = line->len;
	for (const unsigned char *s = (const unsigned char *)text; *s;) {
		s += put_character(line, s);
		if (line->len > end) {
			line->len = cut;
			buf_puts(line, "...");
			return;
		}
		if (line->len + 3 <= end)
			cut = line->len;
	}
}

/* Whether a reader finds the end of the value without quotes. */
static bool bare_logfmt(const char *text)
{
	if (!*text)
		return false;
	for (const char *s = text; *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f || *s == '"' ||
		    *s == '=' || *s == '\\')
			return false;
	return true;
}

/* JSON always has quotes; escapes are the same in both formats. */
static void put_string(struct buf *line, const char *text)
{
	if (!text)
		text = "";
	bool quoted = log_format == LOG_JSON || !bare_logfmt(text);
	if (quoted)
		buf_u8(line, '"');
	put_escaped(line, text);
	if (quoted)
		buf_u8(line, '"');
}

/* With what separates it from the field before. */
static void put_key(struct buf *line, const char *key)
{
	if (log_format == LOG_JSON)
		buf_printf(line, "%c\"%s\":", line->len ? ',' : '{', key);
	else
		buf_printf(line, "%s%s=", line->len ? " " : "", key);
}

/* A number that is not finite has no form in JSON, so it is written as a text. */
static void put_field(struct buf *line, const struct log_field *f)
{
	put_key(line, f->key);
	switch (f->kind) {
	case LOG_KIND_STR:
		put_string(line, f->str);
		break;
	case LOG_KIND_INT:
		buf_printf(line, "%lld", (long long)f->num);
		break;
	case LOG_KIND_REAL:
		if (isfinite(f->real))
			buf_printf(line, "%.9g", f->real);
		else
			put_string(line, isnan(f->real) ? "nan" : f->real > 0 ? "inf" : "-inf");
		break;
	case LOG_KIND_END:
		break;
	}
}

/* RFC 3339 in UTC, to the microsecond. */
static void put_time(struct buf *line, int64_t wall_us)
{
	struct tm tm = {0};
	time_t seconds = (time_t)(wall_us / US_PER_S);
	char text[32], full[48];
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(full, sizeof(full), "%s.%06dZ", text, (int)(wall_us % US_PER_S));
	put_key(line, "time");
	put_string(line, full);
}

/*
 * A terminal polls writable as soon as it has any room, and a longer write waits for the rest of
 * it. That room comes by 256 bytes (drivers/tty/tty_buffer.c), so a shorter piece is safe; but the
 * newline, which takes two, has to find its own.
 */
static size_t terminal_piece(size_t n)
{
	return n > 1 ? MIN(n - 1, TERMINAL_BYTES) : n;
}

/*
 * Gives stderr what it takes without waiting, and says how much that was. RWF_NOWAIT is O_NONBLOCK
 * for one write: pipes know it from Linux 6.4 on, sockets from 6.5. Elsewhere poll(2) must do: a
 * pipe is writable when it has a free page, which takes PIPE_BUF bytes at once (fs/pipe.c), a
 * socket when a good part of its buffer is free.
 */
static size_t write_now(const uint8_t *data, size_t n)
{
	struct stat st = {0};
	struct iovec all = {.iov_base = (void *)(uintptr_t)data, .iov_len = n};
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t taken = -1;
	fstat(STDERR_FILENO, &st);
	if (S_ISREG(st.st_mode))
		taken = write(STDERR_FILENO, data, n);
	else
		taken = pwritev2(STDERR_FILENO, &all, 1, -1, RWF_NOWAIT);
	if (taken < 0 && errno != EAGAIN && poll(&room, 1, 0) == 1 && (room.revents & POLLOUT))
		taken = write(STDERR_FILENO, data, S_ISCHR(st.st_mode) ? terminal_piece(n) : n);
	return (size_t)MAX(taken, 0);
}

/* Is all of the line out? */
static bool send_rest(void)
{
	while (out.done < out.line.len) {
		size_t n = write_now(out.line.data + out.done, out.line.len - out.done);
		if (n == 0)
			return false;
		out.done += n;
	}
	return true;
}

/* A field that finds no room is taken back. */
static void put_field_if_room(struct buf *line, const struct log_field *f)
{
	size_t before = line->len;
	put_field(line, f);
	if (line->len > ROOM)
		line->len = before;
}

/* The fixed fields first, as they must find room; counts of what was held back last. */
static void make_line(struct buf *line, enum log_level level, const char *msg,
		      const struct log_field *fields, uint32_t suppressed)
{
	line->len = 0;
	put_time(line, clock_wall_us());
	put_field(line, &(struct log_field)F_STR("level", level_names[level]));
	put_field(line, &(struct log_field)F_STR("msg", msg));
	for (const struct log_field *f = fields; f->kind != LOG_KIND_END; f++)
		put_field_if_room(line, f);
	if (suppressed > 0)
		put_field(line, &(struct log_field)F_INT("suppressed", suppressed));
	if (out.lost > 0)
		put_field(line, &(struct log_field)F_INT("lost", out.lost));
	buf_puts(line, log_format == LOG_JSON ? "}\n" : "\n");
	assert(line->len <= LINE_MAX_BYTES);
}

/* False: the line is lost, as stderr took nothing of it, or still not all of the one before. */
static bool write_fields(enum log_level level, const char *msg, const struct log_field *fields,
			 uint32_t suppressed)
{
	if (!send_rest())
		return false;
	make_line(&out.line, level, msg, fields, suppressed);
	out.done = 0;
	if (!send_rest() && out.done == 0) {
		out.line.len = 0;
		return false;
	}
	out.lost = 0;
	return true;
}

/* The level is for stderr: a watcher is told all the same, within the limit of the site. */
void log_write(struct log_site *site, enum log_level level, const char *msg,
	       const struct log_field *fields)
{
	uint32_t suppressed = 0;
	watcher *watch = level >= LOG_WARN ? watching : NULL;
	if (level < log_level && !watch)
		return;
	int saved = errno; /* callers log between a failed call and looking at its errno */
	pthread_mutex_lock(&lock);
	bool pass = limit_pass(site, clock_mono_us(), &suppressed);
	if (pass && level >= log_level && !write_fields(level, msg, fields, suppressed)) {
		site->muted += suppressed; /* they were to be told by this line */
		out.lost++;
		stats_add(METRIC_LOG_LINES_LOST, 0, 0, 1);
	}
	pthread_mutex_unlock(&lock);
	if (pass && watch)
		watch(level, msg, fields);
	errno = saved;
}
