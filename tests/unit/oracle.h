/*
 * oracle.h - is a row what Avro-C read from the same bytes? Used by test_oracle.c and by the fuzzer
 * of the decoder.
 *
 * Two readers of one datum: our plan, whose answer is a COPY row, and Avro-C, whose answer is an
 * avro_value_t of the reader's schema. The row is taken apart here with code of its own, and
 * compared field by field; jsonb by the meaning of its JSON.
 */
#pragma once

#include <avro.h>

#include "codec/decode.h"
#include "codec/table.h"
#include "schema/schema.h"

struct oracle {
	char path[160]; /* where in the value */
	char why[400];  /* what differs, when a function returned false */
};

/*
 * Whether row holds, column by column, what value holds. Reader's fields that value lacks (Avro-C
 * cannot add fields) have to be null. Writer and reader must agree on logical types.
 */
bool oracle_row(struct oracle *o, const struct table *table, avro_value_t *value, enum record_op op,
		struct slice row);
