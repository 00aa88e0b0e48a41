/*
 * measure.h - how many bytes does a datum of this schema have? In an Avro container datums stand
 * behind one another without lengths.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "schema/schema.h"

struct measure;

struct measure *measure_new(const struct schema *schema); /* borrowed for the call */
void measure_free(struct measure *m);                     /* NULL is fine */

/* The length of the datum at the start of bytes. POISON when there is no whole one. */
MUST_CHECK bool measure_datum(const struct measure *m, struct slice bytes, size_t *len,
			      struct err *err);
