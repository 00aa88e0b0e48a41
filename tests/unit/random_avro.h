/*
 * random_avro.h - random schemas and random data for the tests that compare us with Avro-C.
 *
 * A pair is a writer's schema and a reader's that resolves from it: fields in another order,
 * removed, added (null by default), made nullable, numbers promoted, branches of unions that only
 * the writer has. It keeps to the rules that
 * Avro-C implements too: no aliases, no defaults other than null, no change of enums, no promotion
 * between string and bytes, one number at most in a union, equal logical types.
 */
#pragma once

#include <avro.h>

#include "base/buf.h"
#include "schema/schema.h"

struct random {
	uint64_t state;
};

uint64_t random_bits(struct random *r);
uint64_t random_below(struct random *r, uint64_t n); /* 0 .. n - 1 */
bool random_one_in(struct random *r, uint64_t n);

struct random_pair {
	struct buf writer, reader; /* JSON; the reader's with annotations "pg" */
	/* the reader's without the fields that it adds, which Avro-C cannot add */
	struct buf avro_reader;
};

void random_pair(struct random *r, struct random_pair *out); /* empties out first */
void random_pair_free(struct random_pair *p);

/*
 * A value that PostgreSQL can store in the column that the reader has for it. type: the writer's,
 * v: of the same schema.
 */
void random_fill(struct random *r, const struct schema_type *type, avro_value_t *v);

/* v as Avro bytes, its arrays and maps cut into blocks at random, some with their size in front. */
void random_encode(struct random *r, avro_value_t *v, struct buf *out);
