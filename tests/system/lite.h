/*
 * lite.h - a bed whose workers write into a SQLite file, and whose checks read it as if it were
 * PostgreSQL: what the file holds is copied into the bed's database, into tables of the same names
 * that "migrate" has made there.
 *
 *   struct bed *bed = ledger_bed("lite", 2);
 *   lite_begin(bed);                    from here on workers and commands use the file
 *   ... worker_start(), bed_drain() ...
 *   lite_copy(bed);
 *   model_check(bed);
 *
 * The copy is what makes one model judge both: it turns blobs into vectors, microseconds into
 * timestamps, JSON arrays into arrays, and knows nothing of merge rules.
 */
#pragma once

#include "bed.h"

/* The file's path is bed->sqlite; it is migrated. dir: where it lies, NULL: the bed's folder. */
void lite_begin(struct bed *bed, const char *dir);

/* Books and tables of the file, in place of the database's. */
void lite_copy(struct bed *bed);
void lite_copy_books(struct bed *bed); /* books only */
/* Where partitions stand only; nothing on a bed without a file. */
void lite_copy_offsets(struct bed *bed);

/* SQL in a file, which may be another one than the bed's; the first column of the first row. */
int64_t lite_int(const char *path, const char *fmt, ...) PRINTF_LIKE(2, 3);
void lite_sql(const char *path, const char *fmt, ...) PRINTF_LIKE(2, 3);
/*
 * One statement on the books of the bed's database, file or not, in PostgreSQL's words: memingest.X
 * is memingest_X in a file, now() is some time.
 */
void lite_books_sql(struct bed *bed, const char *fmt, ...) PRINTF_LIKE(2, 3);
