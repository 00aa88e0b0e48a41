/*
 * canonical.c - the Parsing Canonical Form of a schema and its fingerprint.
 *
 * Avro 1.11 specification, "Parsing Canonical Form for Schemas": only type, name, fields, symbols,
 * items, values and size remain, in a fixed order, names in full, no white space. A named type is
 * written out where it comes first and by its name afterwards, so the text is finite although the
 * tree may hold cycles. Names and symbols are checked when they are parsed (letters, digits,
 * underscore), hence nothing needs escaping.
 *
 * The other form keeps logical types, as github.com/hamba/avro (Go, v2) has it, whose single
 * objects carry the fingerprint of that: {"type":"long","logicalType":"timestamp-micros"}, a
 * decimal's precision, its scale if it is not 0, and behind the size of a fixed. Of the types that
 * it knows, which are not all that we do.
 *
 * The fingerprint is the 64-bit Rabin fingerprint of the same chapter (CRC-64-AVRO), bit by bit: a
 * schema is small and fingerprinted once.
 */
#include <stdlib.h>

#include "schema/schema_parts.h"

#define CRC_EMPTY UINT64_C(0xc15d213aa4d7a795)

struct writer {
	struct buf *out;
	bool *seen; /* by id of the named type */
	bool logical;
};

static void write_type(struct writer *w, const struct schema_type *t);

static void write_head(struct writer *w, const struct schema_type *t)
{
	buf_printf(w->out, "{\"name\":\"%s\",\"type\":\"%s\"", t->full_name,
		   schema_kind_name(t->kind));
}

/* Whether hamba/avro knows the type's logical type. */
static bool is_kept(const struct writer *w, const struct schema_type *t)
{
	switch (t->logical) {
	case LOGICAL_NONE:
	case LOGICAL_TIMESTAMP_NANOS:
	case LOGICAL_LOCAL_NANOS:
		return false;
	case LOGICAL_UUID:
		return w->logical && t->kind == SCHEMA_STRING;
	case LOGICAL_DATE:
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIME_MICROS:
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_TIMESTAMP_MICROS:
	case LOGICAL_LOCAL_MILLIS:
	case LOGICAL_LOCAL_MICROS:
	case LOGICAL_DECIMAL:
	case LOGICAL_DURATION:
		break;
	}
	return w->logical;
}

/* ,"logicalType":.. */
static void write_logical(struct writer *w, const struct schema_type *t)
{
	if (!is_kept(w, t))
		return;
	buf_printf(w->out, ",\"logicalType\":\"%s\"", t->claim.text);
	if (t->logical != LOGICAL_DECIMAL)
		return;
	buf_printf(w->out, ",\"precision\":%u", t->precision);
	if (t->scale > 0)
		buf_printf(w->out, ",\"scale\":%u", t->scale);
}

/* Its bare name, or an object where a logical type is kept. */
static void write_primitive(struct writer *w, const struct schema_type *t)
{
	if (!is_kept(w, t)) {
		buf_printf(w->out, "\"%s\"", schema_kind_name(t->kind));
		return;
	}
	buf_printf(w->out, "{\"type\":\"%s\"", schema_kind_name(t->kind));
	write_logical(w, t);
	buf_puts(w->out, "}");
}

/* In the specification's order: name, type, fields, and of a field only name and type. */
static void write_record(struct writer *w, const struct schema_type *t)
{
	write_head(w, t);
	buf_puts(w->out, ",\"fields\":[");
	for (size_t i = 0; i < t->nfields; i++) {
		buf_printf(w->out, "%s{\"name\":\"%s\",\"type\":", i > 0 ? "," : "",
			   t->fields[i].name);
		write_type(w, t->fields[i].type);
		buf_puts(w->out, "}");
	}
	buf_puts(w->out, "]}");
}

/* In full where it comes first, by its name from then on: recursion ends here. */
static void write_named(struct writer *w, const struct schema_type *t)
{
	if (w->seen[t->id]) {
		buf_printf(w->out, "\"%s\"", t->full_name);
		return;
	}
	w->seen[t->id] = true;
	if (t->kind == SCHEMA_RECORD) {
		write_record(w, t);
		return;
	}
	write_head(w, t);
	if (t->kind == SCHEMA_FIXED) {
		buf_printf(w->out, ",\"size\":%u", t->size);
		write_logical(w, t);
		buf_puts(w->out, "}");
		return;
	}
	buf_puts(w->out, ",\"symbols\":[");
	for (size_t i = 0; i < t->nsymbols; i++)
		buf_printf(w->out, "%s\"%s\"", i > 0 ? "," : "", t->symbols[i]);
	buf_puts(w->out, "]}");
}

/* Unions and primitives have no name, so they are written out each time. */
static void write_type(struct writer *w, const struct schema_type *t)
{
	switch (t->kind) {
	case SCHEMA_NULL:
	case SCHEMA_BOOLEAN:
	case SCHEMA_INT:
	case SCHEMA_LONG:
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
	case SCHEMA_BYTES:
	case SCHEMA_STRING:
		write_primitive(w, t);
		return;
	case SCHEMA_FIXED:
	case SCHEMA_ENUM:
	case SCHEMA_RECORD:
		write_named(w, t);
		return;
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
		buf_printf(w->out, "{\"type\":\"%s\",\"%s\":", schema_kind_name(t->kind),
			   t->kind == SCHEMA_ARRAY ? "items" : "values");
		write_type(w, t->items);
		buf_puts(w->out, "}");
		return;
	case SCHEMA_UNION:
		buf_puts(w->out, "[");
		for (size_t i = 0; i < t->nbranches; i++) {
			buf_puts(w->out, i > 0 ? "," : "");
			write_type(w, t->branches[i]);
		}
		buf_puts(w->out, "]");
		return;
	}
}

void canonical_write(const struct schema_type *root, size_t ntypes, bool logical, struct buf *out)
{
	struct writer w = {
		.out = out, .seen = xcalloc(ntypes + 1, sizeof(*w.seen)), .logical = logical};
	write_type(&w, root);
	free(w.seen);
}

uint64_t canonical_fingerprint(struct slice text)
{
	uint64_t crc = CRC_EMPTY;
	for (size_t i = 0; i < text.len; i++) {
		crc ^= text.data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (CRC_EMPTY & -(crc & 1));
	}
	return crc;
}
