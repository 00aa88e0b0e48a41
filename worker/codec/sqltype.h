/* sqltype.h - the SQL types whose binary form we write, and which Avro types may go into them. */
#pragma once

#include "base/base.h"
#include "codec/table.h"
#include "schema/schema.h"

struct sqltype {
	enum pg_kind kind;
	enum pg_kind element; /* of PG_ARRAY */
	uint32_t element_oid; /* of PG_ARRAY: array_recv compares it */
	uint32_t arg[2];      /* varchar(n), vector(n), numeric(p,s); 0 where not given */
	bool key;             /* equal values have equal bytes, and a btree can hold them */
};

/* False: no type that we know the binary form of. */
bool sqltype_parse(const char *text, struct sqltype *out);

/* Whether a value of that Avro type (no union) can be written as that SQL type. */
bool sqltype_stores(const struct sqltype *st, const struct schema_type *t);

/* The SQL type when no annotation names one. Fills buf; false when there is none. */
bool sqltype_derive(const struct schema_type *t, char *buf, size_t size);
