/*
 * migration.h - a migration under way: what was looked at, and the steps that it takes.
 */
#pragma once

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "core/stream.h"
#include "io/pg.h"

struct step {
	char *sql, *done;
};

/* An index that is built behind the transaction, while others write into its table. */
struct late_index {
	const struct table *table;
	size_t index;
	bool broken; /* a failure left it half built */
};

struct migration {
	struct cli *cli;
	struct pg *pg;
	struct stream **streams;
	struct step *steps;
	size_t nsteps;
	struct late_index *late;
	size_t nlate;
	struct report report;
};

/* Takes sql's bytes; two streams of one table want the same things once. */
void migration_add(struct migration *m, struct buf *sql, const char *what, const char *name);
/* Each statement of a text of worker/sql is a step if what it makes is not there. */
MUST_CHECK bool migration_books(struct migration *m, const char *text, struct err *err);
/* What the search of the stream's table needs; "there": the table is. In migrate_search.c. */
MUST_CHECK bool migration_search(struct migration *m, const struct stream *s, bool there,
				 struct err *err);

/*
 * In migrate_indexes.c. Whether --indexes names what there is, and this one; the indexes that the
 * stream's table lacks; those of them that are built last, nlate being how many were if one fails;
 * and their SQL.
 */
MUST_CHECK bool migration_indexes_named(const struct migration *m, struct err *err);
bool migration_wants_index(const struct cli *cli, const struct table *t, size_t index,
			   const char *name);
MUST_CHECK bool migration_indexes(struct migration *m, const struct table *t, struct err *err);
MUST_CHECK bool migration_late_indexes(struct migration *m, struct err *err);
void migration_late_sql(const struct migration *m, struct buf *out);

/* Appends the least rights of a worker's role, as SQL. In migrate_grants.c. */
void migration_worker_grants(struct stream *const *streams, size_t n, const char *role,
			     struct buf *out);
/* The same of a role that only searches; false if there is nothing to search. */
MUST_CHECK bool migration_searcher_grants(struct stream *const *streams, size_t n, const char *role,
					  struct buf *out);
