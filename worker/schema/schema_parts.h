/*
 * schema_parts.h - the pieces of schema_parse() that stand in files of their own. Internal to
 * the schema files.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "schema/schema.h"

/*
 * canonical.c: appends the Parsing Canonical Form; or (logical) another one, which keeps logical
 * types. ntypes: named types of the schema (their ids are below it).
 */
void canonical_write(const struct schema_type *root, size_t ntypes, bool logical, struct buf *out);
uint64_t canonical_fingerprint(struct slice text); /* CRC-64-AVRO */

/* logical.c: fills claim, and logical where the claim is valid, from the object of the type. */
void logical_parse(struct schema_type *t, const struct json_t *json);
/*
 * The same of an object around the type (a field): a claim of the type, or of its one branch beside
 * null, if that has none yet, and never valid. Returns its text, or NULL.
 */
const char *logical_beside(struct schema_type *type, const struct json_t *json);
/* Of a type with a claim: "long (timestamp-micros)", "bytes (decimal 2,4, which is not valid)". */
void logical_describe(const struct schema_type *t, char *buf, size_t size);

/* defaults.c: what one schema may still spend on encoding its defaults. */
struct default_budget {
	uint32_t values;
	size_t bytes;
};

/* Fills default_datum, or default_error, of a field that has a default. */
void default_encode(struct schema_field *field, struct default_budget *budget, struct arena *arena);
