/*
 * log.h - one line per event on stderr, logfmt or JSON, with named fields:
 *
 *   log_warn("partition halted", F_STR("topic", topic), F_INT("partition", p));
 *
 * Any thread; no call waits. The message is a fixed text that people grep for, what varies stands
 * in fields. Never row data, never a secret. What repeats too often is held back and counted.
 */
#pragma once

#include "base/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

enum log_kind { LOG_KIND_END, LOG_KIND_STR, LOG_KIND_INT, LOG_KIND_REAL };
struct log_field {
	enum log_kind kind;
	const char *key;
	union {
		const char *str; /* NULL is printed as an empty string */
		int64_t num;
		double real;
	};
};

/* One per call site, static: the state of its rate limit. */
struct log_site {
	int64_t window_start_us;
	uint32_t passed, muted;
};

#define F_STR(k, v)                                                                                \
	{                                                                                          \
		.kind = LOG_KIND_STR, .key = (k), .str = (v)                                       \
	}
#define F_INT(k, v)                                                                                \
	{                                                                                          \
		.kind = LOG_KIND_INT, .key = (k), .num = (int64_t)(v)                              \
	}
#define F_REAL(k, v)                                                                               \
	{                                                                                          \
		.kind = LOG_KIND_REAL, .key = (k), .real = (v)                                     \
	}

#define LOG_AT(level, msg, ...)                                                                    \
	do {                                                                                       \
		static struct log_site log_site_;                                                  \
		log_write(&log_site_, level, msg,                                                  \
			  (struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.kind = LOG_KIND_END}}); \
	} while (0)
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_warn(...) LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)

void log_init(enum log_format format, enum log_level level); /* Once, before threads start. */

/* Every warning and error that passes its site's limit goes to watch too; NULL ends that. */
void log_watch(void (*watch)(enum log_level level, const char *msg,
			     const struct log_field *fields));

/* By way of the macros above. errno stays as it was. */
void log_write(struct log_site *site, enum log_level level, const char *msg,
	       const struct log_field *fields);
