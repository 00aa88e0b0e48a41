/*
 * files.h - files to be loaded, each as a topic: its records are numbered from 0, which are their
 * offsets.
 *
 * A file's topic is "file:" and its path, its id says which bytes it holds. Its records are dealt
 * out to FILES_PARTITIONS partitions by their keys, so that lanes share them and the records of a
 * key stay in order.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"
#include "core/stream.h"
#include "io/lookout.h"
#include "io/refetch.h"

/* As many in each version and with any number of lanes: who loads on must deal out alike. */
#define FILES_PARTITIONS 8

struct plan;
struct records;

struct file {
	const char *path; /* as it was given; "-": standard input */
	char *topic;      /* "file:/its/whole/path", "file:-" */
	char id[37];      /* a UUID: of its size, its first and its last bytes; a pipe's is new */
	uint64_t bytes;   /* 0: a pipe's */
	bool pipe;        /* or a device: it can be read once only */
};

/* Read-only once opened, but for what files_reread() needs. */
struct files {
	const struct config *config;
	const struct stream *stream;
	struct file *all;
	size_t n;
	/* of the thread that reads again */
	struct records *again;
	size_t again_file;
	int64_t again_next;
};

/*
 * Opens each file, and finds out whether its schema resolves to the stream's. Borrows all that it
 * is given. NULL with class CONFIG (it cannot be opened) or POISON (it is nothing that is read).
 */
struct files *files_open(const struct config *config, const struct stream *stream,
			 char *const *paths, size_t n, struct err *err);
void files_close(struct files *f); /* NULL is fine */

/*
 * Opens a file at its beginning, with the plan for its schema; both are the caller's. False, and
 * both NULL: class CONFIG (it cannot be opened) or POISON (its schema does not resolve, ...).
 */
MUST_CHECK bool files_begin(const struct files *f, const struct file *file,
			    struct records **records, struct plan **plan, struct err *err);

/* By the topic; NULL: none of these. */
const struct file *files_find(const struct files *f, const char *topic);

/* Of struct origin; self is the files. */
void files_look(void *self, struct look *look);
bool files_reread(void *self, const char *topic, int32_t partition, int64_t offset,
		  struct refetched *out, struct err *err);

/* {"file": PATH, "record": "N", "line": "N"} for a dead letter; line 0: there are none. */
char *files_place_json(const struct file *file, int64_t number, uint64_t line);
