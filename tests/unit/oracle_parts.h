/* oracle_parts.h - what oracle.c and oracle_json.c share. Internal to the two. */
#pragma once

#include <jansson.h>

#include "oracle.h"

/* oracle_json.c: whether JSON says what the value says. */
bool oracle_json(struct oracle *o, const struct schema_type *t, avro_value_t *v, const json_t *j);

/* Both fill why; the first returns false, the second whether it is the same. */
bool oracle_differs(struct oracle *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool oracle_expect(struct oracle *o, bool same, const char *what);

/* Reading Avro-C's values; false when they are of other types. */
bool oracle_get_integer(avro_value_t *v, int64_t *out);
bool oracle_get_real(avro_value_t *v, double *out); /* integers too */
/* bytes, fixed, string or the symbol of an enum */
bool oracle_get_blob(avro_value_t *v, const struct schema_type *t, struct slice *out);
/* The branch of a union that is there. index -1: none, an empty array or map. */
bool oracle_get_branch(avro_value_t *v, const struct schema_type *t, avro_value_t *branch,
		       int *index);

int64_t oracle_floor_div(int64_t v, int64_t by);
/* units of a time or timestamp in a second */
int64_t oracle_per_second(enum schema_logical logical);
uint32_t oracle_le32(const uint8_t *p);

/* Two's complement, big-endian, of at most 16 bytes; false when it is longer. */
bool oracle_read_unscaled(struct slice s, __int128 *out);
/* Its digits, with a point in front of the last scale (at most 40). buf of 100. */
void oracle_decimal_text(__int128 v, uint32_t scale, char *buf);
