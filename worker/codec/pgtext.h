/* pgtext.h - a field of a COPY BINARY row as PostgreSQL would print it, for people. */
#pragma once

#include "base/buf.h"
#include "codec/table.h"

/*
 * Appends the value of a field of column c, which decode_record() wrote. jsonb is as it was sent,
 * not yet in PostgreSQL's order.
 */
void pgtext_value(const struct column *c, struct slice value, struct buf *out);
