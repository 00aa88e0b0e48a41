/*
 * books.h - where the partitions of a run stand, as its database says it: PostgreSQL, or the SQLite
 * file that its workers write.
 */
#pragma once

#include "bed.h"

struct books;

struct books_row {
	char topic[96], topic_id[40]; /* topic_id may be empty */
	int64_t partition, next_offset;
	char halted[160]; /* why, or empty */
};

/* Borrows the bed. who: as PostgreSQL shows the session. Nothing is waited for longer than that. */
struct books *books_new(const struct bed *bed, const char *who, int64_t patience_us);
void books_free(struct books *b);

/*
 * The rows of all partitions, borrowed until the next call; NULL: the database does not say now,
 * which fails nothing.
 */
const struct books_row *books_read(struct books *b, size_t *n);
/* That partition's of them, or NULL. */
const struct books_row *books_find(const struct books_row *rows, size_t n, const char *topic,
				   int64_t partition);
