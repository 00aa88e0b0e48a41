/*
 * csv.h - a CSV file with a header, row by row, as if each were a JSON object: {column: value}.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "codec/table.h"
#include "file/input.h"
#include "file/jtape.h"
#include "file/lines.h"
#include "schema/schema.h"

struct csv;

/*
 * Does the input begin as a header does: a line whose first cell names a field of the stream? Or
 * says its name so (.csv, .tsv, also packed)?
 */
bool csv_is(struct input *in, const struct schema *schema);

/*
 * Reads the header. in, schema and table are borrowed; table: of which schema is the reader; a
 * field of bytes that is a vector there may be a list of numbers. max: bytes of a row. NULL with
 * class POISON: a column that is no field, or stands twice.
 */
struct csv *csv_open(struct input *in, size_t max, const struct schema *schema,
		     const struct table *table, struct err *err);
void csv_close(struct csv *c); /* NULL is fine */

/* The next row that is not empty; its text stays until the next call. */
enum lines_result csv_next(struct csv *c, struct slice *row, struct err *err);
/*
 * That row as an object in the tape, good until the next call; its text is spoilt. False with class
 * POISON, which says in which column.
 */
MUST_CHECK bool csv_parse(struct csv *c, struct jtape *tape, struct err *err);

/* Where the row given last begins: its line, from 1, and the offset of its first byte. */
uint64_t csv_line(const struct csv *c, uint64_t *offset);
