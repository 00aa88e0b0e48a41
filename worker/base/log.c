/*
 * log.c - makes one line of a message and its fields and hands it to stderr in one write(2).
 *
 *   time=2026-11-21T12:30:36.123456Z level=warn msg="partition halted" partition=3
 *   {"time":"2026-11-21T12:30:36.123456Z","level":"warn","msg":"partition halted","partition":3}
 *
 * One write per line: lines of several threads, and of several processes on one pipe (up to
 * PIPE_BUF), do not mix. A line is always valid UTF-8 and one line: control characters are escaped,
 * bytes that are no UTF-8 become U+FFFD. Escapes are those of JSON in both formats; a logfmt value
 * is quoted only where a reader could not tell its end.
 *
 * Rate limit, per call site: ten lines pass in a window of ten seconds that begins with the first;
 * the rest is counted, and the first line of a later window carries the count as "suppressed". The
 * limit is taken under a mutex, so that a site used by several threads counts right. Format and
 * level are set once, before threads start. When stderr is closed or full, lines are lost: a worker
 * that can not log must not stop working.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

enum { LIMIT_LINES = 10, LIMIT_WINDOW_US = 10 * 1000 * 1000 };

static enum log_format log_format = LOG_LOGFMT;
static enum log_level log_level = LOG_INFO;
typedef void watcher(enum log_level level, const char *msg, const struct log_field *fields);
static _Atomic(watcher *) watching;
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;

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
	pthread_mutex_lock(&limit_lock);
	if (site->passed == 0 || now_us - site->window_start_us >= LIMIT_WINDOW_US) {
		site->window_start_us = now_us;
		site->passed = 0;
	}
	bool pass = site->passed < LIMIT_LINES;
	if (pass) {
		*suppressed = site->held;
		site->held = 0;
		site->passed++;
	} else {
		site->held++;
	}
	pthread_mutex_unlock(&limit_lock);
	return pass;
}

/*
 * Length of the valid UTF-8 sequence at s, 0 if there is none (overlong, surrogate, above U+10FFFF:
 * RFC 3629).
 */
static size_t utf8_sequence(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	unsigned low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
	unsigned high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static void put_escaped(struct buf *line, const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s;) {
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
		s += n ? n : 1;
	}
}

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

static void put_string(struct buf *line, const char *text)
{
	if (!text)
		text = "";
	if (log_format == LOG_LOGFMT && bare_logfmt(text)) {
		buf_puts(line, text);
		return;
	}
	buf_u8(line, '"');
	put_escaped(line, text);
	buf_u8(line, '"');
}

static void put_key(struct buf *line, const char *key)
{
	if (log_format == LOG_JSON)
		buf_printf(line, "%c\"%s\":", line->len ? ',' : '{', key);
	else
		buf_printf(line, "%s%s=", line->len ? " " : "", key);
}

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

static void write_line(const struct buf *line)
{
	for (size_t done = 0; done < line->len;) {
		ssize_t n = write(STDERR_FILENO, line->data + done, line->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

static void write_fields(enum log_level level, const char *msg, const struct log_field *fields,
			 uint32_t suppressed)
{
	struct buf line = {0};
	put_time(&line, clock_wall_us());
	put_field(&line, &(struct log_field)F_STR("level", level_names[level]));
	put_field(&line, &(struct log_field)F_STR("msg", msg));
	for (const struct log_field *f = fields; f->kind != LOG_KIND_END; f++)
		put_field(&line, f);
	if (suppressed > 0)
		put_field(&line, &(struct log_field)F_INT("suppressed", suppressed));
	buf_puts(&line, log_format == LOG_JSON ? "}\n" : "\n");
	write_line(&line);
	buf_free(&line);
}

void log_write(struct log_site *site, enum log_level level, const char *msg,
	       const struct log_field *fields)
{
	uint32_t suppressed = 0;
	watcher *watch = level >= LOG_WARN ? watching : NULL;
	if ((level < log_level && !watch) || !limit_pass(site, clock_mono_us(), &suppressed))
		return;
	int saved = errno; /* callers log between a failed call and looking at its errno */
	if (watch)
		watch(level, msg, fields);
	if (level >= log_level)
		write_fields(level, msg, fields, suppressed);
	errno = saved;
}
