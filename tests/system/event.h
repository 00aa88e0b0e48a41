/*
 * event.h - events as JSON: to Avro bytes by a writer schema, and back.
 *
 * A codec of the tests' own, over the schema's JSON text and jansson, that shares no code with the
 * worker: what it reads from the topic is what the model believes. Slow and small. A union's value
 * is plain (null or the value); bytes and fixed are strings of code points 0 to 255, as in Avro's
 * JSON encoding.
 */
#pragma once

#include <jansson.h>

#include "base/base.h"
#include "base/buf.h"

/* Reads a schema file. Fails the test when it is not JSON. The caller releases it. */
json_t *event_schema(const char *path);

/*
 * Appends the datum. A record's field that the value lacks is written as the field's default, or as
 * null where the type takes it. False when the value does not fit the schema.
 */
bool event_encode(json_t *schema, json_t *value, struct buf *out);

/*
 * Returns new, or NULL when the bytes are not a datum of the schema, or bytes are left over. Reads
 * nothing outside them. A string that is not UTF-8 sets *bad_text and reads as "". NaN and infinity
 * read as the string "not finite".
 */
json_t *event_decode(json_t *schema, struct slice body, bool *bad_text);

/* The envelope of the Confluent format, then the datum. */
bool event_confluent(json_t *schema, uint32_t id, json_t *value, struct buf *out);
