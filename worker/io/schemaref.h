/*
 * schemaref.h - schema references: the named types that an Avro schema of the registry takes from
 * other subjects.
 *
 * Pure functions over JSON; asking the registry for the definitions is registry.c's.
 */
#pragma once

#include <jansson.h>

#include "base/base.h"

/*
 * Puts each definition of defs (an object: full name -> Avro schema) in the place where the schema
 * first mentions its name, so that the result stands alone. Takes schema, borrows defs, returns a
 * new value. Definitions may mention each other.
 */
json_t *schemaref_inline(json_t *schema, const json_t *defs);
