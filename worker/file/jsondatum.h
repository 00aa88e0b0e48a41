/* jsondatum.h - a JSON value as Avro bytes, by the schema of a stream. */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/table.h"
#include "file/jtape.h"
#include "schema/schema.h"

struct jsondatum;

/*
 * schema and table are borrowed. table: of which schema is the reader, or NULL; a field of type
 * bytes that is a vector there may be an array of numbers.
 */
struct jsondatum *jsondatum_new(const struct schema *schema, const struct table *table);
/* Whether that field of the schema's record is such a vector. */
bool jsondatum_packed(const struct jsondatum *j, size_t field);
void jsondatum_free(struct jsondatum *j); /* NULL is fine */

/*
 * Appends the datum; see jsondatum.c for how values may be written. On failure out is as it was,
 * and err has class POISON and the way to the value: "field 'tags': item 2: wants string, found 7".
 */
MUST_CHECK bool jsondatum_encode(struct jsondatum *j, const struct jtape *value, struct buf *out,
				 struct err *err);
