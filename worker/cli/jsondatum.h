/*
 * jsondatum.h - a JSON value as Avro bytes, by a schema: for "produce --file".
 */
#ifndef MEMINGEST_JSONDATUM_H
#define MEMINGEST_JSONDATUM_H

#include <jansson.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "schema/schema.h"

/*
 * Appends the datum; see jsondatum.c for how values may be written. On failure out is as it was,
 * and err has class POISON and the way to the value: "field 'tags': item 2: wants a string, found a
 * number".
 */
MUST_CHECK bool jsondatum_encode(const struct schema_type *t, const json_t *value, struct buf *out,
				 struct err *err);

/*
 * The same for a record of which value has more fields than the schema asks for: a message key out
 * of an event.
 */
MUST_CHECK bool jsondatum_encode_some(const struct schema_type *t, const json_t *value,
				      struct buf *out, struct err *err);

#endif
