/*
 * form.c - fields of COPY BINARY rows as SQLite's values.
 *
 *   integers, booleans               INTEGER
 *   floats                           REAL; NaN, of which SQLite would make null, is the text NaN,
 *                                    which it orders behind all numbers, as PostgreSQL does NaN
 *   dates, times, timestamps         INTEGER: days, microseconds of the day, microseconds since
 *                                    1970, as Avro has them: any year, in order
 *   text, uuid, numeric, interval    TEXT
 *   jsonb                            TEXT, without blanks; of a key that stands twice the last
 *   arrays                           TEXT: a JSON array
 *   bytea                            BLOB
 *   vectors                          BLOB: little-endian float32, which sqlite-vec reads
 *
 * What merge rules compare (integers, floats, times) is so that SQLite's own order is right.
 *
 * It reads what our own code has just made, so lengths and counts are taken as they stand.
 *
 * Thread: any.
 */
#include "sqlite/form.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "codec/pgtext.h"
#include "file/jtape.h"
#include "sqlite/functions.h"

const char *form_type(const struct column *c)
{
	switch (c->kind) {
	case PG_BOOL:
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
	case PG_DATE:
	case PG_TIME:
	case PG_TIMESTAMP:
		return "INTEGER";
	case PG_FLOAT4:
	case PG_FLOAT8:
		return "REAL";
	case PG_BYTEA:
	case PG_VECTOR:
	case PG_HALFVEC:
		return "BLOB";
	case PG_TEXT:
	case PG_JSONB:
	case PG_UUID:
	case PG_INTERVAL:
	case PG_NUMERIC:
	case PG_ARRAY:
		break;
	}
	return "TEXT";
}

/* --- numbers --- */

/* PostgreSQL's last years are beyond 64 bits of microseconds since 1970: they are the last one. */
static int64_t timestamp_of(const uint8_t *p)
{
	int64_t us;
	bool over = __builtin_add_overflow((int64_t)get_be64(p), EPOCH_2000_US, &us);
	return over ? INT64_MAX : us;
}

/* Of the kinds that are INTEGER. */
static int64_t integer_of(enum pg_kind kind, const uint8_t *p)
{
	if (kind == PG_BOOL)
		return p[0] != 0;
	if (kind == PG_INT2)
		return (int16_t)get_be16(p);
	if (kind == PG_INT4)
		return (int32_t)get_be32(p);
	if (kind == PG_DATE)
		return (int64_t)(int32_t)get_be32(p) + EPOCH_2000_DAYS;
	return kind == PG_TIMESTAMP ? timestamp_of(p) : (int64_t)get_be64(p);
}

static double real_of(enum pg_kind kind, const uint8_t *p)
{
	uint64_t wide = kind == PG_FLOAT8 ? get_be64(p) : 0;
	uint32_t narrow = kind == PG_FLOAT4 ? get_be32(p) : 0;
	double d;
	float f;
	memcpy(&d, &wide, sizeof(d));
	memcpy(&f, &narrow, sizeof(f));
	return kind == PG_FLOAT4 ? (double)f : d;
}

static void bind_real(sqlite3_stmt *stmt, int parameter, double v)
{
	if (isnan(v))
		sqlite3_bind_text(stmt, parameter, "NaN", -1, SQLITE_STATIC);
	else
		sqlite3_bind_double(stmt, parameter, v);
}

/* --- vectors --- */

float form_half(uint16_t bits)
{
	int exponent = bits >> 10 & 31, fraction = bits & 1023;
	double v = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
	return (float)(bits & 0x8000 ? -v : v);
}

/* Behind the number of dimensions and an unused word. */
static void bind_vector(sqlite3_stmt *stmt, int parameter, struct slice v, bool half,
			struct buf *scratch)
{
	size_t n = get_be16(v.data);
	uint8_t *out = buf_take(scratch, 4 * n);
	for (size_t i = 0; i < n; i++) {
		float f = half ? form_half(get_be16(v.data + 4 + 2 * i)) : 0;
		uint32_t bits;
		memcpy(&bits, &f, sizeof(bits));
		if (!half)
			bits = get_be32(v.data + 4 + 4 * i);
		bits = __builtin_bswap32(bits);
		put_be32(out + 4 * i, bits);
	}
	sqlite3_bind_blob64(stmt, parameter, out, 4 * n, SQLITE_STATIC);
}

/* --- texts --- */

void form_put_string(struct slice text, struct buf *out)
{
	const struct jtoken token = {.kind = JTOKEN_STRING,
				     .n = (uint32_t)text.len,
				     .text = (const char *)text.data,
				     .size = 1};
	struct err ignored;
	if (!jtape_write(&token, out, &ignored))
		abort(); /* a string can be written */
}

/* An element whose text is PostgreSQL's. */
static void put_as_text(const struct column *c, enum pg_kind kind, struct slice v, struct buf *out)
{
	struct column element = *c;
	struct buf text = {0};
	element.kind = kind;
	pgtext_value(&element, v, &text);
	if (kind == PG_NUMERIC)
		buf_put(out, text.data, text.len);
	else
		form_put_string((struct slice){text.data, text.len}, out);
	buf_free(&text);
}

static void put_element(const struct column *c, struct slice v, struct buf *out)
{
	switch (c->element) {
	case PG_BOOL:
		buf_puts(out, v.data[0] ? "true" : "false");
		break;
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
	case PG_DATE:
	case PG_TIME:
	case PG_TIMESTAMP:
		buf_printf(out, "%" PRId64, integer_of(c->element, v.data));
		break;
	case PG_FLOAT4:
	case PG_FLOAT8: {
		double d = real_of(c->element, v.data);
		if (isfinite(d))
			buf_real(out, d, c->element == PG_FLOAT4);
		else
			buf_puts(out, isnan(d) ? "\"NaN\""
				      : d > 0  ? "\"Infinity\""
					       : "\"-Infinity\"");
		break;
	}
	case PG_TEXT:
		form_put_string(v, out);
		break;
	case PG_JSONB: /* behind the version of the form */
		if (!json_compact((struct slice){v.data + 1, v.len - 1}, out))
			buf_put(out, v.data + 1, v.len - 1);
		break;
	case PG_BYTEA:
	case PG_UUID:
	case PG_INTERVAL:
	case PG_NUMERIC:
	case PG_VECTOR:
	case PG_HALFVEC:
	case PG_ARRAY:
		put_as_text(c, c->element, v, out);
		break;
	}
}

/* Behind dimensions, flag, oid, count and lower bound, of one dimension or none. */
static void put_array(const struct column *c, struct slice v, struct buf *out)
{
	uint32_t count = get_be32(v.data) ? get_be32(v.data + 12) : 0;
	const uint8_t *p = v.data + 20;
	buf_puts(out, "[");
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = get_be32(p);
		buf_puts(out, i ? "," : "");
		p += 4;
		if (len == UINT32_MAX) {
			buf_puts(out, "null");
			continue;
		}
		put_element(c, (struct slice){p, len}, out);
		p += len;
	}
	buf_puts(out, "]");
}

/* SQLite takes a copy. */
static void bind_text_copy(sqlite3_stmt *stmt, int parameter, struct buf *text)
{
	sqlite3_bind_text64(stmt, parameter, (const char *)text->data, text->len, SQLITE_TRANSIENT,
			    SQLITE_UTF8);
	buf_free(text);
}

static void bind_text(sqlite3_stmt *stmt, int parameter, struct slice v)
{
	sqlite3_bind_text64(stmt, parameter, (const char *)v.data, v.len, SQLITE_STATIC,
			    SQLITE_UTF8);
}

void form_bind(sqlite3_stmt *stmt, int parameter, const struct column *c, struct slice v,
	       struct buf *scratch)
{
	struct buf text = {0};
	if (!v.data) {
		sqlite3_bind_null(stmt, parameter);
		return;
	}
	switch (c->kind) {
	case PG_BOOL:
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
	case PG_DATE:
	case PG_TIME:
	case PG_TIMESTAMP:
		sqlite3_bind_int64(stmt, parameter, integer_of(c->kind, v.data));
		break;
	case PG_FLOAT4:
	case PG_FLOAT8:
		bind_real(stmt, parameter, real_of(c->kind, v.data));
		break;
	case PG_TEXT:
		bind_text(stmt, parameter, v);
		break;
	case PG_BYTEA:
		sqlite3_bind_blob64(stmt, parameter, v.data, v.len, SQLITE_STATIC);
		break;
	case PG_JSONB: /* behind the version of the form */
		v = (struct slice){v.data + 1, v.len - 1};
		if (json_compact(v, &text))
			bind_text_copy(stmt, parameter, &text);
		else
			bind_text(stmt, parameter, v);
		break;
	case PG_VECTOR:
	case PG_HALFVEC:
		bind_vector(stmt, parameter, v, c->kind == PG_HALFVEC, scratch);
		break;
	case PG_ARRAY:
		put_array(c, v, &text);
		bind_text_copy(stmt, parameter, &text);
		break;
	case PG_UUID:
	case PG_INTERVAL:
	case PG_NUMERIC:
		pgtext_value(c, v, &text);
		bind_text_copy(stmt, parameter, &text);
		break;
	}
}
