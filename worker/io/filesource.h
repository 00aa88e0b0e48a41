/* filesource.h - files as a source of events: see io/source.h and io/origin.h. */
#pragma once

#include "io/files.h"
#include "io/source.h"

/* For struct origin; self is the struct files. */
struct source *filesource_open(void *self, const struct config *config,
			       const struct source_ops *ops, void *ctx, struct err *err);

/* How far it has come. A copy of what the poll thread has seen; its thread only. */
struct filesource_view {
	size_t file;      /* the one that is being read; the number of files when all are */
	uint64_t read;    /* bytes, of all files */
	uint64_t records; /* that were handed over, in this run */
	/* that the files have which were read to their end, loaded before or now */
	uint64_t in_files;
	/* Why a file ended before its end, of the first; class NONE: none did. */
	struct err damage;
};
void filesource_look(const struct source *s, struct filesource_view *view);
