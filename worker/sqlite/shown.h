/*
 * shown.h - the SQL functions of commands that ask a file: values as people and programs read them,
 * and how near two vectors are.
 *
 *   now(), clock_timestamp()             microseconds since 1970
 *   memingest_text(kind, zone, value)    as PostgreSQL prints the value of a column of that kind
 *                                        (enum pg_kind); zone: 1 where the type has one
 *   memingest_shown(kind, zone, value)   the same as JSON
 *   memingest_wanted(kind, zone, name, text)
 *                                        such a text as the value that is stored; what is none is
 *                                        refused by that name
 *   memingest_distance(distance, vector, text)
 *                                        of a stored vector from one of the form [0.1,0.2] (enum
 *                                        search_distance); null where it is not to be had
 *   memingest_base64(blob)
 *   memingest_utf8(value)                1: a text of UTF-8 without NUL, as PostgreSQL has them
 */
#pragma once

#include "base/buf.h"
#include "codec/table.h"
#include "sqlite/db.h"

MUST_CHECK bool shown_add(struct db *db, struct err *err);

/* "kind, zone", the first arguments for a column's values. */
void shown_put_kind(struct buf *out, const struct column *c);
