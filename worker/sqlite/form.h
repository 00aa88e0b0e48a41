/* form.h - the form that a value has in SQLite, by its column's kind: docs/SQLITE.md has the table.
 */
#pragma once

#include <sqlite3.h>

#include "base/buf.h"
#include "base/clock.h"
#include "codec/table.h"

/* Dates and times count from 1970 in a file, and from 2000 in COPY BINARY. */
#define EPOCH_2000_DAYS 10957
#define EPOCH_2000_US (EPOCH_2000_DAYS * DAY_S * US_PER_S)

/* The type that a column is declared with: INTEGER, REAL, TEXT or BLOB. */
const char *form_type(const struct column *c);

/*
 * Binds a field of a COPY BINARY row (data NULL: null) to a parameter. The row, and scratch, must
 * stay as they are until the statement has run; scratch has room for twice the field.
 */
void form_bind(sqlite3_stmt *stmt, int parameter, const struct column *c, struct slice value,
	       struct buf *scratch);

/* IEEE binary16 that is no NaN and no infinity. */
float form_half(uint16_t bits);
/* A text, in UTF-8, as JSON. */
void form_put_string(struct slice text, struct buf *out);
