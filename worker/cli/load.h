/*
 * load.h - what "load" does beside running the pipeline: a dry run, beginning anew, and where the
 * stream's topics begin behind what is loaded.
 */
#pragma once

#include "core/config.h"
#include "core/stream.h"
#include "io/files.h"
#include "sqlite/asker.h"

/* What a dry run has found. */
struct load_trial {
	uint64_t records, upserts, deletes, skipped, dead;
	uint64_t bytes; /* of the files, as they are stored */
	uint64_t told;  /* faults that were printed */
	bool damaged;   /* a file ended before its end */
};

/* Decodes all and writes nothing. The first faults go to standard error. going: asked now and then.
 * False with class CONFIG: a file cannot be read. */
MUST_CHECK bool load_try(const struct files *files, bool (*going)(void), struct load_trial *t,
			 struct err *err);

/*
 * Forgets how far the file has been loaded: its offsets, batches, and, but for a pipe, dead letters
 * that were not replayed, for which a worker's role lacks the right. A load that is under way is
 * fenced.
 */
MUST_CHECK bool load_forget(struct pg *pg, const struct config *config, const struct file *file,
			    struct err *err);

/*
 * Writes down that the stream's topics begin where they end now. False with class CONFIG when some
 * of them is consumed already, RETRY when Kafka does not answer. config: the whole one.
 */
MUST_CHECK bool load_from_now(struct asker *a, const struct config *config, size_t stream,
			      struct err *err);
