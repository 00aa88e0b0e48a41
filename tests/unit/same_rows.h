/* same_rows.h - two rows of a table, as COPY BINARY has them, compared by what they mean. */
#pragma once

#include "base/buf.h"
#include "codec/table.h"

/*
 * Whether rows a and b of table t hold the same: byte by byte, but JSON by its value, as a record
 * in it has the fields in the order of the schema that it was read with.
 */
bool same_rows(const struct table *t, struct slice a, struct slice b);
