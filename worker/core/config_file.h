/*
 * config_file.h - a config while it is loaded, and what it remembers of its origins. Private to
 * core/config*.c.
 */
#pragma once

#include "base/arena.h"
#include "core/config.h"
#include "core/config_key.h"

enum config_source { SOURCE_FILE, SOURCE_ENV, SOURCE_SET }; /* later ones win */

/* One value that somebody gave. */
struct setting {
	/* "batch" "max_rows", "kafka" "group.id", "stream.memory" "topic" */
	const char *section, *name;
	const char *value;
	const char *origin; /* "memingest.ini:12", "env MEMINGEST_BATCH_MAX_ROWS", "--set" */
	enum config_source source;
	bool overridden; /* the other of NAME and NAME_file came from a stronger source */
};

/* A [stream.NAME] or the like that somebody mentioned. */
struct named_section {
	const char *section; /* "stream.memory" */
	const char *name;    /* "memory" */
	const char *origin;
};

/* Those of one kind, in the order of their first mention. */
struct named_sections {
	struct named_section *all;
	size_t n, cap;
};

struct loaded {
	struct config config; /* first, so that a pointer to it is one to this */
	struct arena *arena;  /* owns everything, this struct as well */
	struct setting *settings;
	size_t nsettings, cap_settings;
	struct named_sections named[NAMED_COUNT];
};

struct loader {
	struct loaded *l;
	struct buf *findings; /* may be NULL */
	struct err *err;
	size_t nfindings;
	/* Of the source that is being read. */
	enum config_source source;
	const char *origin;
	bool skip; /* the section is unknown, and was reported */
};

/* One line for whoever reads the findings; also the error, if it is the first. */
void config_finding(struct loader *ld, const char *origin, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The text is the arena's. */
char *config_print(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* NUL-terminated, the caller's. NULL with errno set; EILSEQ if the file holds a NUL. */
char *config_read_text(const char *path, size_t max);

/* Fills the settings from the file (path may be NULL), the environment and the overrides. */
void config_gather(struct loader *ld, const char *path, const struct config_override *overrides,
		   size_t noverrides);

/* NULL if nobody gave it. */
const struct setting *config_setting(const struct loaded *l, const char *section, const char *name);
/* Is the value a secret, or does it hold one? A path to one is none. */
bool config_is_secret(const char *section, const char *name, const char *value);
/* Does it end with "_file"? */
bool config_names_file(const char *name);
