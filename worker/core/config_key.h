/*
 * config_key.h - the table of settings, and what a value's text means. Private to core/config*.c,
 * to the manual and the tests.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"

enum key_type {
	KEY_TEXT,     /* const char *; NULL when empty */
	KEY_PATH,     /* const char *, seen from the config file's folder */
	KEY_LIST,     /* const char **, and size_t at count_offset */
	KEY_COUNT,    /* uint32_t */
	KEY_BYTES,    /* uint64_t */
	KEY_BYTES32,  /* uint32_t */
	KEY_DURATION, /* int64_t, microseconds */
	KEY_RATIO,    /* double */
	KEY_SWITCH,   /* bool */
	KEY_CHOICE,   /* an enum: index into choices */
	KEY_START,    /* enum start_kind, and int64_t milliseconds at count_offset */
};

enum key_secrecy {
	KEY_OPEN,
	KEY_URL,    /* the password part is hidden */
	KEY_SECRET, /* hidden as a whole */
};

struct config_key {
	const char *section; /* of a named kind: "stream" stands for every [stream.NAME] */
	const char *name;
	enum key_type type;
	size_t offset; /* into struct config, or into that of a named kind: struct stream_config */
	size_t count_offset;
	const char *fallback; /* as text; NULL: not set */
	const char *min, *max;
	const char *const *choices; /* ends with NULL */
	enum key_secrecy secrecy;
	bool required;
	/* what "config example" sets it to, where * is the stream's name; NULL: only shown */
	const char *example;
	const char *help;
};

extern const struct config_key config_keys[]; /* ends with a NULL section */

/* NULL: there is none. */
const struct config_key *config_key_find(const char *section, const char *name);
/* A section that the table has, "stream" and "kafka" included. */
bool config_section_known(const char *section);

/* Kinds of which there are any number of sections, each with a name: [stream.NAME]. */
enum named_kind { NAMED_STREAM, NAMED_EMBED, NAMED_COUNT };
extern const char *const named_kinds[NAMED_COUNT]; /* "stream", "embed" */
/* The kind of "stream.memory", with the name's start behind the dot; NAMED_COUNT: of none. */
enum named_kind config_named(const char *section, const char **name);
/* Whether the table's section is such a kind. */
bool config_is_named_kind(const char *section);

/*
 * Understands the text of every type with a number behind it (COUNT to CHOICE) and checks the
 * range. n receives the value, of a RATIO in millionths. False with the reason and a way out in
 * why.
 */
MUST_CHECK bool config_key_parse(const struct config_key *key, const char *text, int64_t *n,
				 struct buf *why);
/*
 * "earliest", "latest", "committed", a date or time in ISO 8601, or milliseconds since 1970. False
 * with the reason and a way out in why: seconds and microseconds are told from milliseconds.
 */
MUST_CHECK bool config_start_parse(const char *text, int *kind, int64_t *ms, struct buf *why);

/* Keys of [kafka] that would break an invariant. */
struct kafka_refusal {
	const char *key;     /* "*_cb": any that ends so */
	const char *allowed; /* the one value that is fine, or NULL */
	const char *reason, *instead;
};
extern const struct kafka_refusal kafka_refusals[]; /* ends with a NULL key */
/* NULL: the key may be handed on. */
const struct kafka_refusal *kafka_refused(const char *key, const char *value);
bool kafka_key_secret(const char *key); /* Whether its value must not be shown. */

/* Appends value with the passwords of a URL or of a "key=value" DSN replaced by ***. */
void config_hide_password(const char *value, struct buf *out);
