/*
 * keys.h - the SQL functions by which rows of a file and events are told to be of one key.
 *
 *   memingest_key(kind, value, kind, value, ...)
 *                                        the values as they stand in a row of COPY BINARY, each
 *                                        behind its length; null if one is none of its kind (enum
 *                                        pg_kind), or null
 *   memingest_share(blob)                the first 32 bits of its SHA-256
 */
#pragma once

#include "base/err.h"
#include "sqlite/db.h"

MUST_CHECK bool keys_add(struct db *db, struct err *err);
