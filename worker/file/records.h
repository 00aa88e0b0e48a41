/*
 * records.h - the events of a file, whatever it is: JSON lines, CSV, an Avro container, each also
 * gzip or zstd, or standard input.
 *
 *   while ((result = records_next(r, &datum, &err)) != RECORDS_END) ...
 *
 * An event comes out as an Avro datum, written with records_schema(): a container's own schema, or
 * else the stream's.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "codec/table.h"

struct records;

enum records_result {
	RECORDS_RECORD,
	RECORDS_END,
	RECORDS_BAD,    /* this one is no event: err says why; the next one can be read */
	RECORDS_BROKEN, /* nothing more can be read */
};

/*
 * path: "-" is standard input. table: the stream's; borrowed, its reader schema too. NULL with
 * class CONFIG when the file cannot be opened, POISON when its beginning is damaged or no format
 * that is read. Errors begin with the file's name.
 */
struct records *records_open(const char *path, const struct table *table, struct err *err);
void records_close(struct records *r); /* NULL is fine */

/* What the datums are written with; lives as long as r, or as the table. */
const struct schema *records_schema(const struct records *r);

/*
 * datum: valid until the next call. Of BAD the error has class POISON; of BROKEN also CONFIG (the
 * system cannot read) or RETRY (a signal came in between). It begins with file and line, or file
 * and number of the record.
 */
enum records_result records_next(struct records *r, struct slice *datum, struct err *err);

/* Passes over n events, good or bad. False: there are not so many, or err. */
MUST_CHECK bool records_skip(struct records *r, int64_t n, struct err *err);
/*
 * The text of the line or row that was given last, or refused, as it stands in the file, if
 * records_keep() was called; of a container its datum. Until the next call.
 */
struct slice records_raw(const struct records *r);
void records_keep(struct records *r); /* costs a copy of each line */
/* Bytes of the file that were read, as it is stored. */
uint64_t records_read(const struct records *r);
/* The next one may take any time: it is not in a pipe yet. */
bool records_wait(const struct records *r);

/*
 * Puts "FILE:LINE: " or "FILE: record N: " of the record given last in front of the error; what is
 * wrong with it may show only later on. Returns false.
 */
bool records_blame(const struct records *r, struct err *err);

/* How far: records given or refused, and bytes read (unpacked). */
struct records_place {
	uint64_t records, line; /* line: of JSON and CSV, from 1; else 0 */
	uint64_t offset;        /* of the line, or of the block that the record is in */
};
/* Of the record that came last: for messages and progress. */
struct records_place records_place(const struct records *r);
