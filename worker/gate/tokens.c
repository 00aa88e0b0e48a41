/*
 * tokens.c - who may write into which stream, and how much.
 *
 *   # name     token                                streams           events a second
 *   agent-7    sha256:9f86d081884c7d659a2feaa0...   memory,pattern    5000
 *   loader     7Nq2xW0c                             *                 -
 *
 * A line is four words with blanks between. The second is a token as it is sent, or the SHA-256 of
 * it, so that the file alone lets nobody in (printf %s TOKEN | sha256sum). In memory there are
 * hashes only, compared in a time that does not depend on where they differ.
 *
 * The rate is an account: it fills with the rate, up to what comes in a second, and a request
 * that finds it above nothing may overdraw it. So one of any size gets through in the end, and the
 * mean holds.
 *
 * A file that changed is read within a second; one that has a mistake then changes nothing, and is
 * complained of once. Thread: any; one mutex. Failure: at start class CONFIG.
 */
#include "gate/tokens.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"

enum { HASH = DIGEST_SIZE, STREAMS_TEXT = 1024, WORDS = 4 };

struct token {
	char name[TOKEN_NAME];
	uint8_t hash[HASH];
	char streams[STREAMS_TEXT]; /* ",memory,pattern," or "*" */
	double rate;                /* events a second; 0: any */
	double level;               /* of the account */
	int64_t level_us;
};

struct tokens {
	const char *path;
	bool (*known)(void *ctx, const char *stream);
	void *ctx;
	pthread_mutex_t lock;
	struct token *all;
	size_t n;
	struct stat seen; /* of the file that was read last */
};

/* --- the file --- */

static bool read_hex(const char *text, uint8_t hash[static HASH])
{
	if (strlen(text) != 2 * (size_t)HASH)
		return false;
	for (size_t i = 0; i < HASH; i++) {
		int byte = hex_byte(text + 2 * i);
		if (byte < 0)
			return false;
		hash[i] = (uint8_t)byte;
	}
	return true;
}

/* A token as it is sent, or the hash of one. */
static bool read_token(struct token *t, const char *word, struct err *err)
{
	static const char hashed[] = "sha256:";
	if (strncmp(word, hashed, strlen(hashed)) == 0)
		return read_hex(word + strlen(hashed), t->hash) ||
		       err_set(err, ERR_CONFIG, "sha256: wants 64 hexadecimal digits");
	if (strlen(word) < 8)
		return err_set(err, ERR_CONFIG, "a token of less than 8 characters");
	digest_bytes((struct slice){(const uint8_t *)word, strlen(word)}, t->hash);
	return true;
}

/* With a comma at both ends, so that a name is found with its commas. */
static bool read_streams(const struct tokens *ts, struct token *t, const char *word,
			 struct err *err)
{
	if (strcmp(word, "*") == 0) {
		snprintf(t->streams, sizeof(t->streams), "*");
		return true;
	}
	if (snprintf(t->streams, sizeof(t->streams), ",%s,", word) >= (int)sizeof(t->streams))
		return err_set(err, ERR_CONFIG, "too many streams");
	for (const char *p = word; *p; p += strcspn(p, ","), p += *p == ',') {
		char name[64];
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(p, ","), p);
		if (!ts->known(ts->ctx, name))
			return err_set(err, ERR_CONFIG, "there is no stream \"%s\" in the config",
				       name);
	}
	return true;
}

static bool read_rate(struct token *t, const char *word, struct err *err)
{
	char *end;
	if (strcmp(word, "-") == 0)
		return true;
	t->rate = strtod(word, &end);
	return (*end == '\0' && isfinite(t->rate) && t->rate >= 1) ||
	       err_set(err, ERR_CONFIG, "events a second: a number from 1 on, or -, found \"%s\"",
		       word);
}

/* Words of a line, of which five are one too many. */
static size_t split(char *line, char *words[WORDS + 1])
{
	static const char blanks[] = " \t\r\n";
	size_t n = 0;
	char *rest = NULL;
	for (char *w = strtok_r(line, blanks, &rest); w && *w != '#' && n <= WORDS;
	     w = strtok_r(NULL, blanks, &rest))
		words[n++] = w;
	return n;
}

static bool read_words(struct tokens *ts, char *words[], size_t n, struct err *err)
{
	struct token t = {.level_us = clock_mono_us()};
	if (n != WORDS)
		return err_set(err, ERR_CONFIG,
			       "wants name, token, streams and events a second, with blanks "
			       "between; found %zu word%s",
			       n, n == 1 ? "" : "s");
	if (snprintf(t.name, sizeof(t.name), "%s", words[0]) >= TOKEN_NAME)
		return err_set(err, ERR_CONFIG, "a name of more than %d bytes", TOKEN_NAME - 1);
	for (size_t i = 0; i < ts->n; i++)
		if (strcmp(ts->all[i].name, t.name) == 0)
			return err_set(err, ERR_CONFIG, "the name \"%s\" stands twice", t.name);
	if (!read_token(&t, words[1], err) || !read_streams(ts, &t, words[2], err) ||
	    !read_rate(&t, words[3], err))
		return false;
	t.level = t.rate;
	ts->all = xrealloc(ts->all, (ts->n + 1) * sizeof(*ts->all));
	ts->all[ts->n++] = t;
	return true;
}

/* Into an empty table. */
static bool read_file(struct tokens *ts, struct err *err)
{
	char *line = NULL, *words[WORDS + 1];
	size_t size = 0, number = 0;
	FILE *in = fopen(ts->path, "re");
	if (!in || fstat(fileno(in), &ts->seen) != 0) {
		err_set(err, ERR_RETRY, "gateway.token_file %s: %s", ts->path, strerror(errno));
		if (in)
			fclose(in);
		return false;
	}
	bool ok = true;
	while (ok && getline(&line, &size, in) >= 0) {
		size_t n = split(line, words);
		number++;
		ok = n == 0 || read_words(ts, words, n, err) ||
		     err_wrap(err, "gateway.token_file %s:%zu", ts->path, number);
	}
	if (line)
		explicit_bzero(line, size);
	free(line);
	fclose(in);
	if (ok && ts->n == 0)
		ok = err_set(err, ERR_CONFIG, "gateway.token_file %s: has no token in it",
			     ts->path);
	return ok;
}

struct tokens *tokens_open(const char *path, bool (*known)(void *ctx, const char *stream),
			   void *ctx, struct err *err)
{
	struct tokens *t = xcalloc(1, sizeof(*t));
	t->path = path;
	t->known = known;
	t->ctx = ctx;
	pthread_mutex_init(&t->lock, NULL);
	if (!path || read_file(t, err))
		return t;
	tokens_free(t);
	return NULL;
}

void tokens_free(struct tokens *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t->all);
	free(t);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Who was there before keeps the level of his account. */
static void carry_levels(const struct tokens *from, struct tokens *to)
{
	for (size_t i = 0; i < to->n; i++)
		for (size_t k = 0; k < from->n; k++)
			if (strcmp(to->all[i].name, from->all[k].name) == 0) {
				to->all[i].level = MIN(from->all[k].level, to->all[i].rate);
				to->all[i].level_us = from->all[k].level_us;
			}
}

bool tokens_refresh(struct tokens *t, struct err *err)
{
	struct stat now;
	struct tokens fresh = {.path = t->path, .known = t->known, .ctx = t->ctx};
	if (!t->path || (stat(t->path, &now) == 0 && same_file(&now, &t->seen)))
		return true;
	bool ok = read_file(&fresh, err);
	t->seen = fresh.seen; /* one that is wrong is not read again before it changes */
	if (ok) {
		pthread_mutex_lock(&t->lock);
		carry_levels(t, &fresh);
		struct token *old = t->all;
		t->all = fresh.all;
		t->n = fresh.n;
		pthread_mutex_unlock(&t->lock);
		fresh.all = old;
	}
	free(fresh.all);
	return ok;
}

/* --- requests --- */

/* Looks at all, so that the time does not tell which. */
static const struct token *find(const struct tokens *t, const char *word)
{
	uint8_t hash[HASH];
	const struct token *found = NULL;
	digest_bytes((struct slice){(const uint8_t *)word, strlen(word)}, hash);
	for (size_t i = 0; i < t->n; i++)
		if (digest_is(hash, t->all[i].hash))
			found = &t->all[i];
	return found;
}

static bool may_write(const struct token *t, const char *stream)
{
	char name[64];
	snprintf(name, sizeof(name), ",%s,", stream);
	return strcmp(t->streams, "*") == 0 || strstr(t->streams, name) != NULL;
}

enum tokens_verdict tokens_check(struct tokens *t, const char *authorization, const char *stream,
				 char name[static TOKEN_NAME])
{
	static const char scheme[] = "Bearer ";
	enum tokens_verdict verdict = TOKENS_UNKNOWN;
	name[0] = '\0';
	if (!t->path)
		return TOKENS_MAY;
	if (!authorization || strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return TOKENS_UNKNOWN;
	pthread_mutex_lock(&t->lock);
	const struct token *found = find(t, authorization + strlen(scheme));
	if (found) {
		snprintf(name, TOKEN_NAME, "%s", found->name);
		verdict = may_write(found, stream) ? TOKENS_MAY : TOKENS_FORBIDDEN;
	}
	pthread_mutex_unlock(&t->lock);
	return verdict;
}

/* Seconds until the account is above nothing. */
static unsigned spend(struct token *t, size_t n)
{
	int64_t now = clock_mono_us();
	double passed = (double)(now - t->level_us) / (double)US_PER_S;
	t->level = MIN(t->rate, t->level + passed * t->rate);
	t->level_us = now;
	if (t->level <= 0)
		return (unsigned)MIN(ceil(-t->level / t->rate) + 1, 3600);
	t->level -= (double)n;
	return 0;
}

unsigned tokens_spend(struct tokens *t, const char *name, size_t n)
{
	unsigned wait = 0;
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->all[i].name, name) == 0 && t->all[i].rate > 0)
			wait = spend(&t->all[i], n);
	pthread_mutex_unlock(&t->lock);
	return wait;
}
