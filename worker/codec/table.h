/*
 * table.h - the table that an annotated Avro schema describes: columns, types, key, merge rules,
 * indexes.
 *
 * Everything downstream (DDL, staging table, COPY list, merge SQL, decoder plans) derives from this
 * one value; no other code knows a shipped stream. Columns stand in COPY order: the key columns
 * first, in the order of the annotation "key", then the others as the record declares them. So the
 * bytes of a row's key are a prefix of the row.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct schema;

enum merge_rule {
	MERGE_REPLACE,  /* the event's value (default) */
	MERGE_KEEP,     /* the row's first value stays */
	MERGE_COALESCE, /* null does not overwrite */
	MERGE_ADD,      /* sum over every event, late ones too */
	MERGE_MIN,
	MERGE_MAX,
	MERGE_JSON, /* jsonb || */
};

/* How one COPY BINARY field is laid out; folding needs it for ADD, MIN and MAX. */
enum pg_kind {
	PG_BOOL,
	PG_INT2,
	PG_INT4,
	PG_INT8,
	PG_FLOAT4,
	PG_FLOAT8,
	PG_TEXT, /* text, varchar, enum labels */
	PG_BYTEA,
	PG_JSONB, /* one version byte, then text */
	PG_UUID,
	PG_DATE,      /* int4, days since 2000-01-01 */
	PG_TIME,      /* int8, microseconds */
	PG_TIMESTAMP, /* int8, microseconds since 2000-01-01; timestamp and timestamptz */
	PG_INTERVAL,
	PG_NUMERIC,
	PG_VECTOR, /* pgvector: int16 dim, int16 0, float4[] */
	PG_HALFVEC,
	PG_ARRAY, /* array of one of the above */
};

struct column {
	const char *name;       /* SQL name, not quoted */
	const char *type;       /* SQL type in the table, as in "vector(384)" */
	const char *stage_type; /* SQL type in the staging table: type, or what "via" says */
	bool cast;              /* the merge casts stage_type to type */
	enum pg_kind kind;      /* of the staged value */
	enum pg_kind element;   /* of PG_ARRAY */
	uint32_t element_oid;   /* of PG_ARRAY: the object id that array_recv wants to read */
	uint32_t dim;           /* of vector and halfvec, also when staged as real[]; 0: any */
	/* of varchar(n) and char(n), or of the elements of such an array; 0: no limit */
	uint32_t max_chars;
	enum merge_rule merge;
	bool not_null;
	const char *default_sql; /* SQL literal for DDL, or NULL */
	/* for DDL, ALTER COLUMN .. SET STORAGE: plain, external, extended or main; or NULL */
	const char *storage;
	const char *compression; /* the same, SET COMPRESSION: pglz or lz4; or NULL */
	uint32_t field;          /* index into the reader record's fields */
};

/* How much an index is wanted: what "migrate --indexes" asks for. */
enum index_level {
	LEVEL_ALWAYS, /* unique: says what may be in the table, so it is always made */
	LEVEL_LEAN,   /* made unless none are asked for (default) */
	LEVEL_ALL,    /* made if all are asked for, or this one */
};

struct table_index {
	const char *name; /* or NULL: derived from table and definition */
	const char *sql;  /* what follows "ON table", as in "USING gin (tags)" or "(user_id)" */
	enum index_level level;
	bool unique;
};

enum search_distance { SEARCH_COSINE, SEARCH_L2, SEARCH_IP };

/* Columns of a table that are searched by nearness: one, and another while it takes over. */
enum { TABLE_SEARCHES_MOST = 4 };

/* That a column of vectors is searched by nearness: the annotation "search" of its field. */
struct table_search {
	size_t vector;    /* index of the column */
	const char *name; /* of its segments, where the table has others; NULL: it needs none */
	enum search_distance distance;
	size_t *filters; /* indexes of the columns that a search may be limited by */
	size_t nfilters;
};

/* Columns of a table whose vectors models make: one, and another while it takes over. */
enum { TABLE_EMBEDS_MOST = 4 };

/* That vectors are made of a text where events bring none: the annotation "embed" of its field. */
struct table_embed {
	size_t vector, text;      /* indexes of the columns */
	const char *model;        /* NAME of [embed.NAME] */
	const char *prefix;       /* goes in front of each text; may be empty */
	const char *query_prefix; /* the same of a question; prefix, unless it is said */
	bool normalize;           /* vectors are made of length 1 */
};

struct table {
	/* SQL schema, or NULL when the annotation gave none (search_path decides) */
	const char *schema;
	const char *name;
	struct column *columns;
	size_t ncolumns, nkeys;
	int version;            /* index of the newer-wins column, or -1 */
	int delete_field;       /* index of the reader field that says DELETE, or -1 */
	uint32_t delete_symbol; /* its symbol */
	struct table_index *indexes;
	size_t nindexes;
	/* what follows WITH in CREATE TABLE, as in "fillfactor = 90", or NULL */
	const char *storage;
	struct table_search
		*searches;           /* in the order of their columns; all have the same filters */
	size_t nsearches;            /* 0: no column is searched by nearness */
	struct table_embed *embeds;  /* in the order of their columns, each of another model */
	size_t nembeds;              /* 0: vectors come with the events */
	bool stands_in;              /* of "verify": made for one check of another table */
	const struct schema *reader; /* borrowed: must outlive the table */
};

/*
 * What every table has beside the schema's columns, kept by the worker, timestamptz: created_at,
 * updated_at, NULL. A table whose schema takes created_at from the event has a column of that name
 * among its own, the last one.
 */
extern const char *const table_own_columns[3];
#define TABLE_OWN_COLUMNS 2

/*
 * Returns a new table, or NULL with class CONFIG, naming the field and its type where a type has no
 * column type. "reader" is a record schema with pg annotations.
 */
struct table *table_new(const struct schema *reader, struct err *err);
void table_free(struct table *t); /* NULL is fine */

/* How that column's vectors are made, an index into embeds; -1: they come with the events. */
int table_embed_of(const struct table *t, size_t column);

/* Whether a search finds rows by that column: its vector, or a filter. */
bool table_is_searched(const struct table *t, size_t column);

/* A name for errors and metrics: "schema.name" or "name". */
const char *table_full_name(const struct table *t);
