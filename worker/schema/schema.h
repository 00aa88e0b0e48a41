/*
 * schema.h - an Avro schema as a tree that our own code reads, with what other libraries drop:
 * defaults, aliases, logical types and the annotation "pg".
 *
 * A schema owns its tree. Named types are shared: a reference by name is a pointer to the one
 * definition, so the "tree" may hold cycles (a record that contains itself); walk it with a bound.
 * Immutable after schema_parse(), free to share between threads. Rules: Avro 1.11 specification,
 * with the logical types that 1.12 added.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "schema/logical.h"

#define SCHEMA_MAX_BYTES (1 << 20)
#define SCHEMA_MAX_DEPTH 64

struct json_t; /* of jansson; only schema.c and table.c look inside */

enum schema_kind {
	SCHEMA_NULL,
	SCHEMA_BOOLEAN,
	SCHEMA_INT,
	SCHEMA_LONG,
	SCHEMA_FLOAT,
	SCHEMA_DOUBLE,
	SCHEMA_BYTES,
	SCHEMA_STRING,
	SCHEMA_FIXED,
	SCHEMA_ENUM,
	SCHEMA_ARRAY,
	SCHEMA_MAP,
	SCHEMA_RECORD,
	SCHEMA_UNION,
};

struct schema_type {
	enum schema_kind kind;
	enum schema_logical logical; /* NONE also where the claim is not valid for the type */
	struct schema_claim claim;
	uint32_t precision, scale; /* of a valid decimal */
	const char *full_name;     /* of record, enum and fixed, with namespace */
	const char *name;          /* its last part */
	const char **aliases;      /* full names */
	size_t naliases;
	struct schema_field *fields; /* of a record */
	size_t nfields;
	const char **symbols; /* of an enum */
	size_t nsymbols;
	int32_t default_symbol;        /* of an enum: index, or -1 */
	uint32_t size;                 /* of fixed */
	struct schema_type *items;     /* of array and map: the element */
	struct schema_type **branches; /* of a union */
	size_t nbranches;
	const struct json_t *pg; /* annotation of a record, or NULL */
	uint32_t id;             /* number of a named type within its schema */
};

enum schema_order { ORDER_ASCENDING, ORDER_DESCENDING, ORDER_IGNORE };

struct schema_field {
	const char *name;
	const char **aliases;
	size_t naliases;
	struct schema_type *type;
	const char *beside; /* a "logicalType" that stands here and not in the type, or NULL */
	enum schema_order order;
	const struct json_t *default_json; /* or NULL: no default */
	struct slice default_datum;        /* the default as Avro bytes of this field's type */
	/* why there are no such bytes, or NULL. Harmless in a writer's schema */
	const char *default_error;
	const struct json_t *pg; /* annotation, or NULL */
};

struct schema {
	struct schema_type *root;
	struct arena *arena;
	struct json_t *json;
	size_t ntypes; /* named ones: their ids are below it */
	const char *canonical;
	uint64_t fingerprint, fingerprint_logical;
};

/*
 * Returns new, or NULL with class CONFIG and a text that leads to the place: "field 'tags': unknown
 * type 'strin'". The text need not end in a NUL and is not kept.
 */
struct schema *schema_parse(const char *text, size_t len, struct err *err);
/* The same from a file. */
struct schema *schema_read(const char *path, struct err *err);
void schema_free(struct schema *s); /* NULL is fine */

/* Parsing Canonical Form; lives as long as s */
const char *schema_canonical(const struct schema *s);
uint64_t schema_fingerprint(const struct schema *s); /* CRC-64-AVRO of it */
/*
 * The same of a canonical form that keeps logical types, with which github.com/hamba/avro (Go)
 * writes single objects. Without logical types it is the same number.
 */
uint64_t schema_fingerprint_logical(const struct schema *s);

const char *schema_kind_name(enum schema_kind kind); /* as the specification has it */
/* "long (timestamp-micros)", "array of float", for messages. Fills buf and returns it. */
const char *schema_describe(const struct schema_type *t, char *buf, size_t size);

/* The one type beside null, or t itself if it is no union; NULL for any other union. */
const struct schema_type *schema_unwrap(const struct schema_type *t, bool *nullable);
