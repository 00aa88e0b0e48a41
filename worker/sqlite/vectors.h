/*
 * vectors.h - what a SQLite file remembers of models and of the vectors that they made, as
 * embed/archive.h has it.
 *
 * Each function is a transaction of its own.
 */
#pragma once

#include "base/buf.h"
#include "base/digest.h"
#include "sqlite/db.h"

/* A connection for that: small, and flushed by the next checkpoint, as it only saves money. */
MUST_CHECK bool vectors_open(struct db *db, const char *path, int abort_fd, struct err *err);

/* The model's number, and (appended to kept) what its fixed text was first made into. */
MUST_CHECK bool vectors_model(struct db *db, const char *model, struct slice vector, int64_t *id,
			      struct buf *kept, struct err *err);

typedef void (*vectors_found)(void *ctx, size_t i, const uint8_t *vector, size_t size);
/* Those that it has. digests: n times DIGEST_SIZE bytes. */
MUST_CHECK bool vectors_find(struct db *db, int64_t model, const uint8_t *digests, size_t n,
			     vectors_found found, void *ctx, struct err *err);
/* vectors: n times "size" bytes. */
MUST_CHECK bool vectors_keep(struct db *db, int64_t model, const uint8_t *digests,
			     const uint8_t *vectors, size_t size, size_t n, struct err *err);
/* Deletes some that nobody has asked for since then. *more: there may be more of them. */
MUST_CHECK bool vectors_prune(struct db *db, int64_t model, int64_t older_than_us, bool *more,
			      struct err *err);
