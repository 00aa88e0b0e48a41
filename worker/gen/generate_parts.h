/*
 * generate_parts.h - what the files of the generator share: generate.c (events and fields),
 * generate_key.c (keys), generate_value.c (values by Avro type). Private to them.
 */
#pragma once

#include "gen/fake.h"
#include "gen/generate.h"

enum role { ROLE_KEY, ROLE_OP, ROLE_TIME, ROLE_VECTOR, ROLE_JSON, ROLE_PLAIN };

struct field {
	const struct schema_field *schema;
	enum role role;
	uint32_t dim;       /* of VECTOR */
	uint32_t max_chars; /* of text; 0: no limit */
	bool not_null;
	bool text;  /* PLAIN: a string whose column is text, so that a NUL in it is poison */
	size_t key; /* of KEY: which key column */
};

enum poison {
	POISON_NONE,
	POISON_DIMENSION,
	POISON_NAN,
	POISON_TRUNCATED,
	POISON_MAGIC,
	POISON_SCHEMA,
	POISON_JSON,
	POISON_NUL,
	POISON_COUNT,
};

struct generator {
	struct generator_options options;
	const struct table *table;
	const struct schema_type *key_type; /* NULL: keys are plain text */
	struct fake *fake;
	struct field *fields;
	size_t nfields;
	/* key columns: that holds the index, and that takes the rest (or == nkeys) */
	size_t counting, splitting;
	enum poison kinds[POISON_COUNT];
	size_t nkinds, next_kind;
	uint64_t count, used_keys;
	int64_t last_time_us;
	enum poison poison; /* of the event being written; NONE again once it is in */
	struct buf key, value;
	struct generated event;
};

/* The type without its null; the type itself where it is no union of one type and null. */
const struct schema_type *generate_unwrap(const struct schema_type *t);
/* The union's index of this branch; nothing if outer is no union. */
void generate_branch(struct buf *out, const struct schema_type *outer,
		     const struct schema_type *inner);
/* Where numbers of a logical type begin, so that dates and times look like some. */
int64_t generate_base(enum schema_logical logical);
/* Names decide over looks. */
bool generate_ends_with(const char *name, const char *end);
/* True, once, if this is what is to be wrong with the event. */
bool generate_poison(struct generator *g, enum poison poison);

/* generate_key.c */
MUST_CHECK bool generate_choose_key(struct generator *g, struct err *err);
/* Key column k of a key's number, as that type has it. */
void generate_key_column(const struct generator *g, size_t key, const struct schema_type *type,
			 uint64_t index, struct buf *out);

/* generate_value.c: t is never a union with null. */
void generate_vector(struct generator *g, const struct field *f, const struct schema_type *t,
		     struct buf *out);
void generate_json(struct generator *g, struct buf *out); /* A JSON text, as a string. */
/* A value of that type; the field's name chooses among what looks right. */
void generate_plain(struct generator *g, const struct field *f, const struct schema_type *t,
		    struct buf *out);
