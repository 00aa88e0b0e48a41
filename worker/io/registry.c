/*
 * registry.c - the cache of writer schemas, and the thread that fills it from a schema registry.
 *
 * A table of entries by id, GUID or fingerprint, shared by two threads under one mutex. The
 * poll thread looks up and creates entries; the registry's thread takes those that are WANTED and
 * due, asks without holding the mutex, and puts the answer in. Then it makes the eventfd readable.
 * No queue carries requests or answers: the table is both, so nothing can overflow, be asked twice
 * or be answered to somebody who has gone.
 *
 *      registry_get()            thread takes it            200, valid schema
 *   () -------------> WANTED --------------------> ASKED -----------------> FOUND    (for ever)
 *                      ^  ^                         | |  404, patience over
 *                      |  '----- any failure, 404 --' |'------------------> UNKNOWN  (a minute)
 *                      |           (due later)        '-------------------> INVALID  (a minute)
 *                      |                                 200, not usable       |
 *                      '------------- registry_get() when that is over --------'
 *
 * registry_get() itself settles a WANTED entry at once when a file has it, or when there is no
 * registry to ask.
 *
 * Folder before registry: what the folder of the config has needs no network. ID.avsc and GUID.avsc
 * serve that id; every .avsc, and the schema files of the streams, serve their CRC-64-AVRO
 * fingerprint, the one that serializers make who keep logical types in the canonical form, and the
 * one that the file is named by, as 16 hexadecimal digits. A fingerprint that nobody knows makes us
 * read the folder again, once a minute at most, so a schema can be added without a restart.
 *
 * A registry may lag, so "unknown" is asked again for registry.unknown_wait (patience.c) before it
 * is believed; from then on one more such answer, once a minute, is enough. Numbers that no
 * registry gives (over 31 bits) are never asked for.
 *
 * Apicurio's own ids are numbers of two kinds, and its Confluent API serves one of them under
 * /schemas/ids, by a setting of its own. A wrong guess would read events by another schema without
 * a word, so registry.apicurio_ids has to say which.
 *
 * registry_fetch.c makes one schema of the registry's answers, registry_client.c speaks HTTP.
 *
 * Invariants: an entry that is FOUND never changes again, so its schema is borrowed without a lock
 * until registry_free(); an entry that is WANTED or ASKED is not evicted; at most ENTRIES_MAX
 * entries.
 *
 * Failure: a registry that is down (refused, timeout, 5xx, nonsense) leaves entries WANTED, each
 * asked again after 0.2 s, then up to 10 s, with jitter; the first answer makes all others due at
 * once. Logged when it goes down and when it comes back, not between. The first trouble with an
 * entry makes the eventfd readable too: who waits can say what for.
 */
#include "io/registry.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "io/http_client.h"
#include "io/patience.h"
#include "io/registry_client.h"
#include "io/registry_fetch.h"
#include "schema/schema.h"

enum { ENTRIES_MAX = 10000 };

static const int64_t REMEMBER_US = 60 * US_PER_S;
static const int64_t BACKOFF_MIN_US = 200 * US_PER_MS;
static const int64_t BACKOFF_MAX_US = 10 * US_PER_S;

enum entry_state {
	ENTRY_WANTED,  /* to be asked for at due_us */
	ENTRY_ASKED,   /* the thread is at it */
	ENTRY_FOUND,   /* schema is set, for ever */
	ENTRY_UNKNOWN, /* nobody has it, as of now; good until due_us */
	ENTRY_INVALID, /* error says why; good until due_us */
	ENTRY_STATE_COUNT,
};

static const bool transitions[ENTRY_STATE_COUNT][ENTRY_STATE_COUNT] = {
	[ENTRY_WANTED] = {[ENTRY_ASKED] = true,
			  [ENTRY_FOUND] = true,
			  [ENTRY_UNKNOWN] = true,
			  [ENTRY_INVALID] = true},
	[ENTRY_ASKED] = {[ENTRY_WANTED] = true,
			 [ENTRY_FOUND] = true,
			 [ENTRY_UNKNOWN] = true,
			 [ENTRY_INVALID] = true},
	[ENTRY_UNKNOWN] = {[ENTRY_WANTED] = true, [ENTRY_FOUND] = true},
	[ENTRY_INVALID] = {[ENTRY_WANTED] = true, [ENTRY_FOUND] = true},
};

struct entry {
	struct schema_id id; /* hashed as bytes */
	enum entry_state state;
	int64_t due_us, backoff_us;
	struct patience patience;
	const char *trouble; /* why there is no answer that counts yet; static, NULL: none known */
	struct schema *schema; /* of FOUND; owned, unless another entry has it too */
	bool borrowed;
	char *error; /* of UNKNOWN and INVALID; owned */
	UT_hash_handle hh;
};

struct registry {
	const struct config *config;    /* borrowed */
	struct registry_client *client; /* of the thread; NULL without a URL */
	pthread_t thread;
	int answers;     /* eventfd */
	char shown[256]; /* the first URL, without secrets */

	pthread_mutex_t lock; /* guards what follows */
	struct entry *entries;
	size_t nwanted;

	int64_t scanned_us;    /* poll thread: when the folder was read */
	int64_t down_since_us; /* registry's thread: 0 while it is up */
	uint64_t random;       /* registry's thread: of the jitter */
};

/* --- entries; the lock is held --- */

static void entry_set(struct registry *r, struct entry *e, enum entry_state state,
		      const char *error)
{
	assert(transitions[e->state][state]);
	if (e->state == ENTRY_WANTED)
		r->nwanted--;
	if (state == ENTRY_WANTED)
		r->nwanted++;
	free(e->error);
	e->error = error != NULL ? xstrdup(error) : NULL;
	e->state = state;
	if (state == ENTRY_UNKNOWN || state == ENTRY_INVALID)
		e->due_us = clock_mono_us() + REMEMBER_US;
}

static void entry_found(struct registry *r, struct entry *e, struct schema *schema)
{
	entry_set(r, e, ENTRY_FOUND, NULL);
	e->schema = schema;
}

static struct entry *entry_find(struct registry *r, const struct schema_id *id)
{
	struct entry *e;
	HASH_FIND(hh, r->entries, id, sizeof(*id), e);
	return e;
}

static void entry_drop(struct registry *r, struct entry *e)
{
	assert(e != r->entries || e->hh.prev == NULL); /* uthash: nothing is before the head */
	HASH_DEL(r->entries, e);
	if (!e->borrowed)
		schema_free(e->schema);
	free(e->error);
	free(e);
}

/*
 * Makes room for one by dropping the answer that is over soonest. What is FOUND or asked for stays.
 */
static bool evict(struct registry *r)
{
	struct entry *e, *next, *oldest = NULL;
	HASH_ITER (hh, r->entries, e, next) {
		if ((e->state == ENTRY_UNKNOWN || e->state == ENTRY_INVALID) &&
		    (oldest == NULL || e->due_us < oldest->due_us))
			oldest = e;
	}
	if (oldest == NULL)
		return false;
	entry_drop(r, oldest);
	return true;
}

/* A new entry, WANTED and due now. NULL when the table is full. */
static struct entry *entry_add(struct registry *r, const struct schema_id *id)
{
	if (HASH_COUNT(r->entries) >= ENTRIES_MAX && !evict(r))
		return NULL;
	struct entry *e = xcalloc(1, sizeof(*e));
	e->id = *id;
	e->state = ENTRY_WANTED;
	r->nwanted++;
	HASH_ADD(hh, r->entries, id, sizeof(e->id), e);
	return e;
}

/* --- files --- */

/* The first of two files with the same schema serves both. Returns whether it took the schema. */
static bool add_fingerprint(struct registry *r, uint64_t fingerprint, struct schema *schema,
			    bool borrowed)
{
	const struct schema_id id = {.kind = SCHEMA_ID_FINGERPRINT, .number = fingerprint};
	struct entry *e = entry_find(r, &id);
	if (e == NULL)
		e = entry_add(r, &id);
	if (e == NULL || e->state == ENTRY_FOUND)
		return false;
	entry_found(r, e, schema);
	e->borrowed = borrowed;
	return true;
}

/* "0123456789abcdef.avsc": a fingerprint that somebody else's serializer has for the schema. */
static bool fingerprint_of_name(const char *path, uint64_t *fingerprint)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	char *end;
	*fingerprint = strtoull(name, &end, 16);
	return strspn(name, "0123456789abcdefABCDEF") == 16 && strcmp(end, ".avsc") == 0;
}

/* Remembers the schema by all its fingerprints, takes it. */
static void add_schema(struct registry *r, const char *path, struct schema *schema)
{
	uint64_t named;
	pthread_mutex_lock(&r->lock);
	bool taken = add_fingerprint(r, schema_fingerprint(schema), schema, false);
	taken |= add_fingerprint(r, schema_fingerprint_logical(schema), schema, taken);
	if (fingerprint_of_name(path, &named))
		taken |= add_fingerprint(r, named, schema, taken);
	pthread_mutex_unlock(&r->lock);
	if (!taken)
		schema_free(schema);
}

static bool add_file(struct registry *r, const char *path, struct err *err)
{
	struct schema *schema = schema_read(path, err);
	if (schema != NULL)
		add_schema(r, path, schema);
	return schema != NULL;
}

static bool is_avsc(const char *name)
{
	size_t len = strlen(name);
	return len > 5 && strcmp(name + len - 5, ".avsc") == 0;
}

/* Every .avsc of the folder. Goes on after a bad file; err has the first. */
static bool scan_folder(struct registry *r, struct err *err)
{
	const char *folder = r->config->registry_directory;
	r->scanned_us = clock_mono_us();
	if (folder == NULL)
		return true;
	DIR *dir = opendir(folder);
	if (dir == NULL)
		return err_set(err, ERR_CONFIG, "registry.directory \"%s\": %s", folder,
			       strerror(errno));
	bool ok = true;
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		if (!is_avsc(d->d_name))
			continue;
		struct err file_err;
		char *path = xasprintf("%s/%s", folder, d->d_name);
		if (!add_file(r, path, &file_err) && ok) {
			*err = file_err;
			ok = false;
		}
		free(path);
	}
	closedir(dir);
	return ok;
}

static bool scan_streams(struct registry *r, struct err *err)
{
	for (size_t i = 0; i < r->config->nstreams; i++) {
		const struct stream_config *s = &r->config->streams[i];
		if (s->schema != NULL && !add_file(r, s->schema, err))
			return false;
		if (s->key_schema != NULL && !add_file(r, s->key_schema, err))
			return false;
	}
	return true;
}

/* --- the thread --- */

/*
 * Between half and all of it, so that workers which saw the registry die together do not come back
 * together.
 */
static int64_t jitter(struct registry *r, int64_t us)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return us / 2 + (int64_t)(r->random % (uint64_t)(us / 2));
}

/* The entry to ask for now, then ASKED; or NULL and when to look again. */
static struct entry *take_due(struct registry *r, int64_t *deadline_us)
{
	struct entry *first = NULL, *e, *next;
	pthread_mutex_lock(&r->lock);
	if (r->nwanted > 0) {
		HASH_ITER (hh, r->entries, e, next) {
			if (e->state == ENTRY_WANTED &&
			    (first == NULL || e->due_us < first->due_us))
				first = e;
		}
	}
	*deadline_us = first != NULL ? first->due_us : CLOCK_NEVER;
	if (first != NULL && first->due_us > clock_mono_us())
		first = NULL;
	if (first != NULL)
		entry_set(r, first, ENTRY_ASKED, NULL);
	pthread_mutex_unlock(&r->lock);
	return first;
}

static void make_all_due(struct registry *r)
{
	struct entry *e, *next;
	HASH_ITER (hh, r->entries, e, next) {
		if (e->state == ENTRY_WANTED)
			e->due_us = 0;
	}
}

static void log_change(struct registry *r, bool up, const struct err *err)
{
	int64_t now = clock_mono_us();
	if (!up && r->down_since_us == 0) {
		r->down_since_us = now;
		log_warn("schema registry is down: what needs a new schema waits",
			 F_STR("error", err->text));
	} else if (up && r->down_since_us != 0) {
		log_info("schema registry is up again",
			 F_REAL("down_seconds", (double)(now - r->down_since_us) / US_PER_S));
		r->down_since_us = 0;
	}
}

/* It will be asked for again at e->due_us. Returns whether that is news. */
static bool want_again(struct registry *r, struct entry *e, const char *trouble)
{
	bool news = e->trouble == NULL || strcmp(e->trouble, trouble) != 0;
	e->trouble = trouble;
	entry_set(r, e, ENTRY_WANTED, NULL);
	return news;
}

/* Returns whether those who wait for it should look again. */
static bool put_answer(struct registry *r, struct entry *e, enum registry_answer answer,
		       struct schema *schema, const struct err *err)
{
	bool news = true;
	pthread_mutex_lock(&r->lock);
	if (answer != REGISTRY_PENDING && r->down_since_us != 0)
		make_all_due(r);
	switch (answer) {
	case REGISTRY_FOUND:
		entry_found(r, e, schema);
		break;
	case REGISTRY_UNKNOWN:
		if (patience_missed(&e->patience, clock_mono_us(),
				    r->config->registry_unknown_wait_us, &e->due_us))
			news = want_again(r, e, "it does not know the schema yet");
		else
			entry_set(r, e, ENTRY_UNKNOWN, err->text);
		break;
	case REGISTRY_INVALID:
		entry_set(r, e, ENTRY_INVALID, err->text);
		break;
	case REGISTRY_PENDING:
		news = want_again(r, e, "it gives no answer");
		patience_interrupted(&e->patience);
		e->backoff_us = e->backoff_us == 0 ? BACKOFF_MIN_US
						   : MIN(e->backoff_us * 2, BACKOFF_MAX_US);
		e->due_us = clock_mono_us() + jitter(r, e->backoff_us);
		break;
	}
	pthread_mutex_unlock(&r->lock);
	return news;
}

static void serve(struct registry *r, struct entry *e)
{
	char name[SCHEMA_ID_TEXT];
	struct schema *schema = NULL;
	struct err err = {0};
	enum registry_answer answer = registry_fetch(r->client, &e->id, &schema, &err);
	schema_id_text(&e->id, name); /* once answered, the entry may be evicted */
	bool news = put_answer(r, e, answer, schema, &err);
	if (registry_client_stopped(r->client))
		return;
	log_change(r, answer != REGISTRY_PENDING, &err);
	if (!news)
		return;
	if (answer == REGISTRY_FOUND)
		log_info("schema read from the registry", F_STR("schema", name));
	else if (answer != REGISTRY_PENDING)
		log_warn("schema cannot be had from the registry", F_STR("schema", name),
			 F_STR("error", err.text));
	uint64_t one = 1;
	ssize_t rc = write(r->answers, &one, sizeof(one));
	(void)rc; /* fails only when the counter is full, that is, readable anyway */
}

static void *registry_main(void *arg)
{
	struct registry *r = arg;
	pthread_setname_np(pthread_self(), "registry");
	while (!registry_client_stopped(r->client)) {
		int64_t deadline_us;
		struct entry *e = take_due(r, &deadline_us);
		if (e != NULL)
			serve(r, e);
		else
			registry_client_wait(r->client, deadline_us);
	}
	return NULL;
}

static bool start_thread(struct registry *r, struct err *err)
{
	r->client = registry_client_new(r->config);
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&r->thread, NULL, registry_main, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		return true;
	registry_client_free(r->client);
	r->client = NULL;
	return err_set(err, ERR_FATAL, "cannot start the schema registry's thread: %s",
		       strerror(rc));
}

/* --- public: the cache --- */

struct registry *registry_new(const struct config *config, struct err *err)
{
	struct registry *r = xcalloc(1, sizeof(*r));
	r->config = config;
	pthread_mutex_init(&r->lock, NULL);
	r->random =
		(uint64_t)clock_mono_us() * 2654435761U ^ (uint64_t)getpid() ^ 0x9e3779b97f4a7c15U;
	r->answers = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (config->nregistry_urls > 0)
		http_shown_url(config->registry_urls[0], r->shown, sizeof(r->shown));
	bool ok = r->answers >= 0 || err_set(err, ERR_FATAL, "eventfd: %s", strerror(errno));
	ok = ok && scan_streams(r, err) && scan_folder(r, err);
	if (ok && config->nregistry_urls > 0)
		ok = start_thread(r, err);
	if (ok)
		return r;
	registry_free(r);
	return NULL;
}

void registry_free(struct registry *r)
{
	if (r == NULL)
		return;
	if (r->client != NULL) {
		registry_client_stop(r->client);
		pthread_join(r->thread, NULL);
		registry_client_free(r->client);
	}
	struct entry *e, *next;
	HASH_ITER (hh, r->entries, e, next) {
		entry_drop(r, e);
	}
	if (r->answers >= 0)
		close(r->answers);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* "7.avsc", "89791762-....avsc": how the folder names it. Fills buf and returns it. */
static const char *file_name(const struct schema_id *id, char *buf, size_t size)
{
	char guid[SCHEMA_ID_TEXT];
	schema_id_guid(id, guid);
	if (id->kind == SCHEMA_ID_GUID)
		snprintf(buf, size, "%s.avsc", guid);
	else
		snprintf(buf, size, "%llu.avsc", (unsigned long long)id->number);
	return buf;
}

/* True when the folder has a file that settles the entry. */
static bool settle_from_folder(struct registry *r, struct entry *e)
{
	char name[64];
	if (r->config->registry_directory == NULL)
		return false;
	char *path = xasprintf("%s/%s", r->config->registry_directory,
			       file_name(&e->id, name, sizeof(name)));
	struct err err;
	bool there = access(path, F_OK) == 0;
	if (there) {
		struct schema *schema = schema_read(path, &err);
		if (schema != NULL)
			entry_found(r, e, schema);
		else
			entry_set(r, e, ENTRY_INVALID, err.text);
	}
	free(path);
	return there;
}

/* An entry that is WANTED: from the folder, or by the thread, or known to nobody. */
static void begin(struct registry *r, struct entry *e)
{
	bool of_a_registry = e->id.kind != SCHEMA_ID_FINGERPRINT;
	if (of_a_registry && settle_from_folder(r, e))
		return;
	if (of_a_registry && r->client != NULL) {
		e->due_us = e->backoff_us = 0;
		registry_client_wake(r->client);
		return;
	}
	char text[200], name[64];
	if (of_a_registry)
		snprintf(text, sizeof(text),
			 "no schema registry, and no file %s in registry.directory",
			 file_name(&e->id, name, sizeof(name)));
	else
		snprintf(text, sizeof(text),
			 "no schema file has it (\"memingest check\" shows those of the streams; "
			 "%016llx.avsc in registry.directory would be read for it)",
			 (unsigned long long)e->id.number);
	entry_set(r, e, ENTRY_UNKNOWN, text);
}

static void rescan_if_old(struct registry *r)
{
	struct err err;
	if (clock_mono_us() - r->scanned_us >= REMEMBER_US && !scan_folder(r, &err))
		log_warn("schema file cannot be read", F_STR("error", err.text));
}

static enum registry_answer answer_of(const struct registry *r, const struct entry *e,
				      const struct schema **schema, struct err *err)
{
	char name[SCHEMA_ID_TEXT];
	switch (e->state) {
	case ENTRY_WANTED:
	case ENTRY_ASKED:
		err_set(err, e->trouble ? ERR_RETRY : ERR_NONE,
			"schema %s of schema registry %s%s%s", schema_id_text(&e->id, name),
			r->shown, e->trouble ? ": " : "", e->trouble ? e->trouble : "");
		return REGISTRY_PENDING;
	case ENTRY_FOUND:
		*schema = e->schema;
		return REGISTRY_FOUND;
	case ENTRY_UNKNOWN:
		err_set(err, ERR_POISON, "%s", e->error);
		return REGISTRY_UNKNOWN;
	case ENTRY_INVALID:
		err_set(err, ERR_CONFIG, "%s", e->error);
		return REGISTRY_INVALID;
	case ENTRY_STATE_COUNT:
		break;
	}
	abort();
}

static bool known(struct registry *r, const struct schema_id *id)
{
	pthread_mutex_lock(&r->lock);
	bool found = entry_find(r, id) != NULL;
	pthread_mutex_unlock(&r->lock);
	return found;
}

static enum registry_answer look_up(struct registry *r, const struct schema_id *id,
				    const struct schema **schema, struct err *err)
{
	enum registry_answer answer = REGISTRY_INVALID;
	pthread_mutex_lock(&r->lock);
	struct entry *e = entry_find(r, id);
	bool fresh = e == NULL;
	if (fresh)
		e = entry_add(r, id);
	else if ((e->state == ENTRY_UNKNOWN || e->state == ENTRY_INVALID) &&
		 e->due_us <= clock_mono_us()) {
		if (clock_mono_us() - e->due_us > REMEMBER_US) /* nobody asked: it is new again */
			e->patience = (struct patience){0};
		e->trouble = NULL;
		entry_set(r, e, ENTRY_WANTED, NULL);
		fresh = true;
	}
	if (fresh && e != NULL) {
		stats_add(METRIC_SCHEMA_CACHE_MISSES, 0, 0, 1);
		begin(r, e);
	}
	stats_set(METRIC_SCHEMA_CACHE_ENTRIES, 0, 0, HASH_COUNT(r->entries));
	if (e != NULL)
		answer = answer_of(r, e, schema, err);
	else
		err_set(err, ERR_CONFIG,
			"more than %d schemas in use: something makes a schema for each event",
			ENTRIES_MAX);
	pthread_mutex_unlock(&r->lock);
	return answer;
}

/* Under which number of /schemas/ids the registry has an id of Apicurio's. */
static bool apicurio_number(const struct registry *r, struct schema_id *id, struct err *err)
{
	static const char *const served[] = {[APICURIO_NONE] = "none",
					     [APICURIO_CONTENT] = "content",
					     [APICURIO_GLOBAL] = "global"};
	enum apicurio_ids ids = r->config->registry_apicurio_ids;
	char name[SCHEMA_ID_TEXT];
	bool fits = id->kind == SCHEMA_ID_APICURIO ||
		    id->kind == (ids == APICURIO_GLOBAL ? SCHEMA_ID_APICURIO_GLOBAL
							: SCHEMA_ID_APICURIO_CONTENT);
	if (ids == APICURIO_NONE || !fits)
		return err_set(
			err, ERR_CONFIG,
			"%s is one of Apicurio's own serializers, and registry.apicurio_ids "
			"is %s: set it to what registry.url serves under /schemas/ids, or at "
			"the producer apicurio.registry.use-id to contentId, "
			"apicurio.registry.headers.enabled to false and "
			"apicurio.registry.id-handler to one of 4 bytes",
			schema_id_text(id, name), served[ids]);
	*id = (struct schema_id){.kind = SCHEMA_ID_NUMBER, .number = id->number};
	return true;
}

enum registry_answer registry_get(struct registry *r, const struct schema_id *id,
				  const struct schema **schema, struct err *err)
{
	struct schema_id asked = *id;
	assert(id->kind != SCHEMA_ID_NONE); /* its schema is the stream's own */
	if (id->kind >= SCHEMA_ID_APICURIO && !apicurio_number(r, &asked, err))
		return REGISTRY_INVALID;
	if (id->kind == SCHEMA_ID_NUMBER && id->number > INT32_MAX) {
		err_set(err, ERR_POISON, "no registry has such an id: they end at %d", INT32_MAX);
		return REGISTRY_UNKNOWN;
	}
	if (asked.kind == SCHEMA_ID_FINGERPRINT && !known(r, &asked))
		rescan_if_old(r);
	return look_up(r, &asked, schema, err);
}

int registry_fd(const struct registry *r)
{
	return r->answers;
}

void registry_ack(struct registry *r)
{
	uint64_t count;
	ssize_t rc = read(r->answers, &count, sizeof(count));
	(void)rc; /* nothing to read is fine */
}
