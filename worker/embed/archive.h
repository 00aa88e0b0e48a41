/*
 * archive.h - what the database remembers of models and of the vectors that they made.
 *
 * A session of its own, each statement a transaction of its own, short. Where it can not be had,
 * the archive says so and rests a while. One thread's.
 */
#pragma once

#include "base/base.h"
#include "base/digest.h"
#include "base/err.h"
#include "core/config.h"

struct archive;

/* abort_fd: readable, it ends what it waits for. */
struct archive *archive_new(const struct config *config, int abort_fd);
void archive_free(struct archive *s); /* NULL is fine */
/* The table of models, for words about it. */
const char *archive_models(const struct archive *s);

/*
 * The model's number, and what its fixed text was made into when it was first seen: which is now,
 * if it was not seen before. vector: of "size" bytes; kept: appended. False: not now, or (class
 * CONFIG) an operator has to act. Class NONE: another session is finding out why.
 */
MUST_CHECK bool archive_model(struct archive *s, const char *model, const uint8_t *vector,
			      size_t size, int64_t *id, struct buf *kept, struct err *err);

/* One vector that was found, for the digest number i of those asked for. */
typedef void (*archive_found)(void *ctx, size_t i, const uint8_t *vector, size_t size);
/* Those that it has, none if it rests. digests: n times DIGEST_SIZE bytes. */
void archive_find(struct archive *s, int64_t model, const uint8_t *digests, size_t n,
		  archive_found found, void *ctx);
/* Deletes some of those that nobody has asked for in that time. True: there may be more. */
bool archive_prune(struct archive *s, int64_t model, int64_t age_us);
/* Keeps them, unless it rests; vectors: n times "size" bytes. */
void archive_keep(struct archive *s, int64_t model, const uint8_t *digests, const uint8_t *vectors,
		  size_t size, size_t n);
