/*
 * files.c - what is known of files before their records are read, and how one record is read again.
 *
 * A file is known by its whole path. What it holds is known by its size and by a hash of its first
 * and last bytes, as an id like that of a topic: the offsets row keeps it, so a load that goes on
 * in a file that has changed is noticed in the same way as a topic that was created anew. Bytes in
 * the middle are not looked at: a file of hundreds of gigabytes would have to be read twice.
 *
 * What can be read only once (standard input, a pipe) has a new id each time, and never goes on.
 *
 * Thread: files_look() is the lookout's, files_reread() the reader's, the rest the caller's; what
 * they share does not change.
 */
#include "io/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "codec/plan.h"
#include "file/records.h"
#include "io/origin.h"

enum { LOOK_BYTES = 64 * 1024 };

/* ---- what it is ---- */

/* As random ones are written; nobody takes it apart. */
static void write_id(const uint8_t *b, char id[37])
{
	snprintf(id, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		 b[13], b[14], b[15]);
}

static bool new_id(struct file *file, struct err *err)
{
	uint8_t bytes[16];
	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return err_set(err, ERR_FATAL, "getrandom: %s", strerror(errno));
	write_id(bytes, file->id);
	return true;
}

/* At an offset, all that there is up to LOOK_BYTES. */
static bool hash_some(XXH3_state_t *hash, int fd, uint64_t at, struct err *err)
{
	uint8_t bytes[LOOK_BYTES];
	size_t n = 0;
	while (n < sizeof(bytes)) {
		ssize_t got = pread(fd, bytes + n, sizeof(bytes) - n, (off_t)(at + n));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, ERR_CONFIG, "%s", strerror(errno));
		if (got == 0)
			break;
		n += (size_t)got;
	}
	XXH3_128bits_update(hash, bytes, n);
	return true;
}

static bool id_of_content(struct file *file, int fd, struct err *err)
{
	XXH128_canonical_t bytes;
	XXH3_state_t *hash = XXH3_createState();
	uint64_t last = file->bytes > LOOK_BYTES ? file->bytes - LOOK_BYTES : 0;
	XXH3_128bits_reset(hash);
	XXH3_128bits_update(hash, &file->bytes, sizeof(file->bytes));
	bool ok = hash_some(hash, fd, 0, err) && hash_some(hash, fd, last, err);
	XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(hash));
	XXH3_freeState(hash);
	write_id(bytes.digest, file->id);
	return ok;
}

static bool identify(struct file *file, struct err *err)
{
	struct stat st;
	char whole[PATH_MAX];
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool ok = fd >= 0 && fstat(fd, &st) == 0 && realpath(file->path, whole);
	if (!ok) {
		err_set(err, ERR_CONFIG, "%s", strerror(errno));
	} else if (S_ISDIR(st.st_mode)) {
		ok = err_set(err, ERR_CONFIG, "it is a directory: name its files");
	} else {
		file->pipe = !S_ISREG(st.st_mode);
		file->bytes = file->pipe ? 0 : (uint64_t)st.st_size;
		file->topic = xasprintf(ORIGIN_FILE "%s", whole);
		ok = file->pipe ? new_id(file, err) : id_of_content(file, fd, err);
	}
	if (fd >= 0)
		close(fd);
	return ok || err_wrap(err, "%s", file->path);
}

bool files_begin(const struct files *f, const struct file *file, struct records **records,
		 struct plan **plan, struct err *err)
{
	*records = records_open(file->path, f->stream->table, err);
	*plan = *records ? plan_new(records_schema(*records), f->stream->table, err) : NULL;
	if (*plan || !*records)
		return *plan != NULL;
	err->class = ERR_POISON; /* not the config is wrong, but the file */
	records_close(*records);
	*records = NULL;
	return err_wrap(err, "%s", file->path);
}

/* Nothing is opened of what can be read only once: its beginning would be lost. */
static bool resolves(const struct files *f, const struct file *file, struct err *err)
{
	struct records *records;
	struct plan *plan;
	if (file->pipe)
		return true;
	bool ok = files_begin(f, file, &records, &plan, err);
	plan_free(plan);
	records_close(records);
	return ok;
}

static bool add(struct files *f, const char *path, struct err *err)
{
	struct file *file = &f->all[f->n++];
	*file = (struct file){.path = path};
	if (strcmp(path, "-") == 0) {
		file->topic = xstrdup(ORIGIN_FILE "-");
		file->pipe = true;
		return new_id(file, err);
	}
	return identify(file, err) && resolves(f, file, err);
}

/* One file twice would be two readers of one topic. */
static bool all_differ(const struct files *f, struct err *err)
{
	for (size_t i = 0; i < f->n; i++)
		if (files_find(f, f->all[i].topic) != &f->all[i])
			return err_set(err, ERR_CONFIG, "%s is given twice", f->all[i].path);
	return true;
}

struct files *files_open(const struct config *config, const struct stream *stream,
			 char *const *paths, size_t n, struct err *err)
{
	struct files *f = xcalloc(1, sizeof(*f));
	f->config = config;
	f->stream = stream;
	f->all = xcalloc(n, sizeof(*f->all));
	bool ok = true;
	for (size_t i = 0; ok && i < n; i++)
		ok = add(f, paths[i], err);
	if (ok && all_differ(f, err))
		return f;
	files_close(f);
	return NULL;
}

void files_close(struct files *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		free(f->all[i].topic);
	records_close(f->again);
	free(f->all);
	free(f);
}

const struct file *files_find(const struct files *f, const char *topic)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->all[i].topic, topic) == 0)
			return &f->all[i];
	return NULL;
}

/* ---- for others ---- */

/* Where a file ends is not known before it is read. */
void files_look(void *self, struct look *look)
{
	struct files *f = self;
	for (size_t i = 0; i < look->n; i++) {
		struct sight *s = &look->sights[i];
		const struct file *file = files_find(f, s->log.topic);
		s->log.low = 0;
		s->log.high = INT64_MAX;
		s->log.partitions = FILES_PARTITIONS;
		s->committed = -1;
		snprintf(s->topic_id, sizeof(s->topic_id), "%s", file ? file->id : "");
	}
	look->topics_answered = look->nmissing > 0;
}

/* The place of what is read again; events are asked for in their order, mostly. */
static bool go_to(struct files *f, size_t file, int64_t number, struct err *err)
{
	if (f->again && (f->again_file != file || number < f->again_next)) {
		records_close(f->again);
		f->again = NULL;
	}
	if (!f->again) {
		f->again = records_open(f->all[file].path, f->stream->table, err);
		f->again_file = file;
		f->again_next = 0;
		if (!f->again)
			return false;
		records_keep(f->again);
	}
	if (!records_skip(f->again, number - f->again_next, err))
		return err->class != ERR_NONE ||
		       err_set(err, ERR_POISON, "the file ends before it");
	f->again_next = number;
	return true;
}

/* Only what is good is refused by a table: the record is there. */
bool files_reread(void *self, const char *topic, int32_t partition, int64_t offset,
		  struct refetched *out, struct err *err)
{
	struct files *f = self;
	const struct file *file = files_find(f, topic);
	struct slice datum;
	(void)partition;
	*out = (struct refetched){.offset = offset, .timestamp_ms = -1};
	err_clear(err);
	if (!file || file->pipe)
		return err_set(err, ERR_POISON, "%s cannot be read again", topic);
	if (!go_to(f, (size_t)(file - f->all), offset, err))
		return false;
	if (records_next(f->again, &datum, err) != RECORDS_RECORD)
		return err->class != ERR_NONE ||
		       err_set(err, ERR_POISON, "the file ends before it");
	f->again_next = offset + 1;
	struct slice raw = records_raw(f->again);
	out->value = xmalloc(raw.len + 1);
	memcpy(out->value, raw.data, raw.len);
	out->value_len = raw.len;
	out->headers = files_place_json(file, offset, records_place(f->again).line);
	return true;
}

char *files_place_json(const struct file *file, int64_t number, uint64_t line)
{
	char record[24], text[24];
	snprintf(record, sizeof(record), "%" PRId64, number);
	snprintf(text, sizeof(text), "%" PRIu64, line);
	json_t *json =
		json_pack("{s:s%, s:s}", "file", file->path, strlen(file->path), "record", record);
	if (json && line > 0)
		json_object_set_new(json, "line", json_string(text));
	char *out = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	return out ? out : xstrdup("{}"); /* a path that is no UTF-8 */
}
