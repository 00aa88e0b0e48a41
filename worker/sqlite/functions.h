/*
 * functions.h - the SQL functions of our statements: what PostgreSQL's operators do and SQLite's do
 * not.
 *
 *   memingest_add(a, b, kind)      the sum as the column's type has it; a row that it does not fit
 *                                  is refused. Neither is null. kind: enum pg_kind
 *   memingest_json(a, b)           jsonb's a || b. Neither is null; the JSON null is as good as
 * none memingest_differ(a, b, ...)    whether any pair is not the same value
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

struct db;

MUST_CHECK bool functions_add(struct db *db, struct err *err);

/*
 * JSON as it is stored, without blanks, and of a key that stands twice in an object with the last
 * value. False, and nothing: it is none.
 */
MUST_CHECK bool json_compact(struct slice text, struct buf *out);
