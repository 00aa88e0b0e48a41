/*
 * catalog.h - what PostgreSQL has, beside what the streams want: for migrate, which makes up the
 * difference, and check, which reports it.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "cli/report.h"
#include "codec/table.h"
#include "io/pg.h"

struct catalog_column {
	bool exists, same_type, not_null, has_default;
	/* attstorage, and attcompression, 0 for the default; '?' if a partition has another */
	char storage, compression;
	char wanted[80], found[80]; /* types as PostgreSQL writes them */
};

struct catalog {
	bool exists;
	char kind;      /* pg_class.relkind */
	bool key_index; /* a unique index on exactly the key columns */
	/* columns that we do not fill, NOT NULL without default; or empty */
	char foreign_not_null[256];
	struct catalog_column *columns; /* the table's, then created_at and updated_at */
	size_t ncolumns;
};

/* In bytes, for SQL: up to here an index takes a second or two. */
#define SMALL_TABLE "67108864"

/* The worker's own tables, and what a worker's role needs on each. */
struct catalog_rights {
	const char *table;
	const char *rights[5]; /* ends with NULL */
};
extern const struct catalog_rights catalog_bookkeeping[4];
extern const struct catalog_rights catalog_search_books[2]; /* where a stream is searched */
extern const struct catalog_rights catalog_embed_books[2];  /* where a stream makes vectors */
extern const char *const catalog_table_rights[5];           /* on a stream's table */

/* The first column whose type PostgreSQL does not know (or NULL). False on failure. */
MUST_CHECK bool catalog_unknown_type(struct pg *pg, const struct table *t,
				     const struct column **column, struct err *err);
/* True for a type of the extension pgvector. */
bool catalog_is_vector(const char *type);

/* Needs an open transaction and types that are known. The caller frees what out holds. */
MUST_CHECK bool catalog_read(struct pg *pg, const struct table *t, struct catalog *out,
			     struct err *err);
void catalog_free(struct catalog *c); /* what catalog_read() put into it */

/* Name and declaration of column i: one of the table's, or created_at, updated_at. */
const char *catalog_column_name(const struct table *t, size_t i);

/*
 * What keeps the table from being used and cannot be made up for by adding things: one error each.
 * Returns their number. missing: also what migrate would add.
 */
size_t catalog_compare(const struct table *t, const struct catalog *c, const char *area,
		       bool missing, struct report *r);

/* One row, one column: a boolean; null, and no row, are false. */
MUST_CHECK bool catalog_ask(struct pg *pg, const char *sql, const char *param, bool *answer,
			    struct err *err);
/* One finding that names all rights on the table that this role lacks; none if it is not there. */
void catalog_check_rights(struct pg *pg, const char *area, const char *table,
			  const char *const *rights, struct report *r);
