/*
 * scalar.c - one value of a text file, a number or a text, as Avro bytes of a type.
 *
 * The rule: what is encoded is exactly what the text says, or the value is refused. A number with
 * more digits behind the point than a decimal's scale is not rounded, an integer out of range does
 * not wrap, the 30th of February is no day in March. Zeros that say nothing are no digits: 12.340
 * is a decimal of scale 2, 1.0 is an integer. Floating point rounds by its nature, to the nearest.
 *
 * A decimal as text is a number, as most exporters write it. Avro's own JSON encoding has the bytes
 * of the unscaled integer there ("\u0004\u00d2" for 12.34), and both cannot be: any digits are such
 * bytes, too. That encoding puts a tag in front in a union, {"bytes": ...}, and then it is meant;
 * without a tag a text that is no number is refused.
 *
 * Pure, any thread. Failure: class POISON. The texts quote the value, shortened: they are for the
 * one who has the file.
 */
#include "file/scalar.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "codec/pgbin.h"
#include "file/moment.h"
#include "file/number.h"
#include "schema/encode.h"

enum { QUOTED = 60, UUID_TEXT = 36, UUID_BYTES = 16 };

/* ---- what was found ---- */

bool scalar_refuse(const struct schema_type *t, const char *found, const char *why, struct err *err)
{
	char type[200];
	return err_set(err, ERR_POISON, "wants %s, found %s%s%s",
		       schema_describe(t, type, sizeof(type)), found, why ? ": " : "",
		       why ? why : "");
}

/* The value for a message: one line, at most QUOTED bytes of it, no half character. */
static bool refuse_value(const struct schema_type *t, const char *text, size_t len, bool quotes,
			 const char *why, struct err *err)
{
	char found[QUOTED + 10];
	size_t n = MIN(len, (size_t)QUOTED);
	while (n > 0 && n < len && ((uint8_t)text[n] & 0xc0) == 0x80)
		n--;
	snprintf(found, sizeof(found), "%s%.*s%s%s", quotes ? "\"" : "", (int)n, text,
		 n < len ? "..." : "", quotes ? "\"" : "");
	for (char *p = found; *p; p++)
		if ((uint8_t)*p < 0x20 || *p == 0x7f)
			*p = '?';
	return scalar_refuse(t, found, why, err);
}

/* ---- numbers ---- */

static bool is_decimal(const struct schema_type *t)
{
	return t->logical == LOGICAL_DECIMAL;
}

/* A time of day has to lie within the day. */
static bool put_int(const struct schema_type *t, const char *text, size_t len, struct buf *out,
		    struct err *err)
{
	int64_t v;
	enum number_fit fit = number_int64(text, len, &v);
	if (fit == NUMBER_FRACTION)
		return refuse_value(t, text, len, false, "it is no whole number", err);
	if (fit == NUMBER_TOO_LARGE || (t->kind == SCHEMA_INT && v != (int32_t)v))
		return refuse_value(t, text, len, false, "it is out of range", err);
	if (moment_day(t->logical) > 0 && (v < 0 || v >= moment_day(t->logical)))
		return refuse_value(t, text, len, false, "it is outside the day", err);
	encode_long(out, v);
	return true;
}

/* Infinity only by its name, never by too large a number. */
static bool put_real(const struct schema_type *t, const char *text, size_t len, struct buf *out,
		     struct err *err)
{
	float f = 0;
	double d = 0;
	enum number_fit fit =
		t->kind == SCHEMA_FLOAT ? number_float(text, &f) : number_double(text, &d);
	if (fit != NUMBER_FITS)
		return refuse_value(t, text, len, false, "it is out of range", err);
	if (t->kind == SCHEMA_FLOAT)
		encode_float(out, f);
	else
		encode_double(out, d);
	return true;
}

/* bytes: the length goes in front; fixed: the sign is extended in front. */
static void put_unscaled(const struct schema_type *t, const struct buf *v, struct buf *out)
{
	if (t->kind == SCHEMA_BYTES) {
		encode_bytes(out, v->data, v->len);
		return;
	}
	assert(v->len <= t->size); /* a fixed holds its precision: schema.c */
	memset(buf_take(out, t->size - v->len), v->data[0] & 0x80 ? 0xff : 0, t->size - v->len);
	buf_put(out, v->data, v->len);
}

/* The scale is the type's; more digits behind the point are refused. */
static bool put_decimal(const struct schema_type *t, const char *text, size_t len, bool quotes,
			struct buf *out, struct err *err)
{
	struct buf v = {0};
	enum number_fit fit = number_decimal(text, len, t->precision, t->scale, &v);
	if (fit == NUMBER_FITS)
		put_unscaled(t, &v, out);
	buf_free(&v);
	switch (fit) {
	case NUMBER_FITS:
		return true;
	case NUMBER_FRACTION:
		return refuse_value(t, text, len, quotes,
				    "it has more digits behind the point than the scale", err);
	case NUMBER_TOO_LARGE:
		return refuse_value(t, text, len, quotes, "it has more digits than the precision",
				    err);
	}
	return false;
}

/* What a JSON number may become. */
bool scalar_number(const struct schema_type *t, const char *text, size_t len, struct buf *out,
		   struct err *err)
{
	switch (t->kind) {
	case SCHEMA_INT:
	case SCHEMA_LONG:
		return put_int(t, text, len, out, err);
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
		return put_real(t, text, len, out, err);
	case SCHEMA_BYTES:
	case SCHEMA_FIXED:
		if (is_decimal(t))
			return put_decimal(t, text, len, false, out, err);
		break;
	case SCHEMA_NULL:
	case SCHEMA_BOOLEAN:
	case SCHEMA_STRING:
	case SCHEMA_ENUM:
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
	case SCHEMA_UNION:
		break;
	}
	return refuse_value(t, text, len, false, NULL, err);
}

/* ---- text ---- */

static bool text_is(const char *text, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(text, what, len) == 0;
}

/* A whole number in quotes is no moment. */
static bool put_moment(const struct schema_type *t, const char *text, size_t len, struct buf *out,
		       struct err *err)
{
	int64_t v;
	if (!moment_is(t->logical))
		return refuse_value(t, text, len, true, NULL, err);
	const char *why = moment_parse(t->logical, text, len, &v);
	if (!why && t->kind == SCHEMA_INT && v != (int32_t)v)
		why = "it is out of range";
	if (why)
		return refuse_value(t, text, len, true, why, err);
	encode_long(out, v);
	return true;
}

/* JSON has no such numbers, so they are texts. */
static bool put_infinite(const struct schema_type *t, const char *text, size_t len, struct buf *out,
			 struct err *err)
{
	double v;
	if (text_is(text, len, "NaN"))
		v = (double)NAN;
	else if (text_is(text, len, "Infinity"))
		v = (double)INFINITY;
	else if (text_is(text, len, "-Infinity"))
		v = -(double)INFINITY;
	else
		return refuse_value(t, text, len, true, NULL, err);
	if (t->kind == SCHEMA_FLOAT)
		encode_float(out, (float)v);
	else
		encode_double(out, v);
	return true;
}

/* With the nearest symbol that there is. */
static bool put_symbol(const struct schema_type *t, const char *text, size_t len, struct buf *out,
		       struct err *err)
{
	char name[64], why[160];
	for (size_t i = 0; i < t->nsymbols; i++) {
		if (text_is(text, len, t->symbols[i])) {
			encode_long(out, (int64_t)i);
			return true;
		}
	}
	snprintf(name, sizeof(name), "%.*s", (int)MIN(len, sizeof(name) - 1), text);
	struct suggest near = suggest_for(name);
	for (size_t i = 0; i < t->nsymbols; i++)
		suggest_offer(&near, t->symbols[i]);
	snprintf(why, sizeof(why), "it is no symbol%s%.80s%s", near.best ? "; did you mean \"" : "",
		 near.best ? near.best : "", near.best ? "\"?" : "");
	return refuse_value(t, text, len, true, why, err);
}

/* As PostgreSQL reads it. With "bytes" its 16 bytes, else the text. */
static bool put_uuid(const struct schema_type *t, const char *text, size_t len, bool bytes,
		     struct buf *out, struct err *err)
{
	struct buf field = {0};
	struct refusal why;
	bool ok = pgbin_uuid_text(&field, (struct slice){(const uint8_t *)text, len}, &why);
	if (!ok)
		refuse_value(t, text, len, true, "it is no UUID", err);
	else if (bytes)
		buf_put(out, field.data + 4, UUID_BYTES); /* behind the field's length */
	else
		encode_bytes(out, text, len);
	buf_free(&field);
	return ok;
}

/* A code point is a byte: Avro's JSON encoding. */
bool scalar_bytes(const struct schema_type *t, const char *text, size_t len, struct buf *out,
		  struct err *err)
{
	const uint8_t *p = (const uint8_t *)text, *end = p + len;
	char why[80];
	size_t n = 0;
	for (const uint8_t *q = p; q < end; q++) {
		n += (*q & 0xc0) != 0x80;
		if (*q >= 0xc4)
			return refuse_value(t, text, len, true,
					    "a character above U+00FF is no byte", err);
	}
	if (t->kind == SCHEMA_FIXED && n != t->size) {
		snprintf(why, sizeof(why), "it wants %u bytes, found %zu", t->size, n);
		return refuse_value(t, text, len, true, why, err);
	}
	if (t->kind == SCHEMA_BYTES)
		encode_long(out, (int64_t)n);
	/* U+0080 to U+00FF are C2 xx and C3 xx. */
	for (; p < end; p++) {
		uint8_t c = *p;
		buf_u8(out, c < 0x80 ? c : (uint8_t)((c & 3) << 6 | (*++p & 0x3f)));
	}
	return true;
}

/* A decimal as text is a number; see the essay. */
static bool put_blob(const struct schema_type *t, const char *text, size_t len, struct buf *out,
		     struct err *err)
{
	if (t->logical == LOGICAL_UUID && len == UUID_TEXT)
		return put_uuid(t, text, len, true, out, err);
	if (!is_decimal(t))
		return scalar_bytes(t, text, len, out, err);
	if (number_is(text, len))
		return put_decimal(t, text, len, true, out, err);
	return refuse_value(t, text, len, true, "write it as a number", err);
}

/* What a JSON string may become. */
bool scalar_text(const struct schema_type *t, const char *text, size_t len, struct buf *out,
		 struct err *err)
{
	switch (t->kind) {
	case SCHEMA_STRING:
		if (t->logical == LOGICAL_UUID)
			return put_uuid(t, text, len, false, out, err);
		encode_bytes(out, text, len);
		return true;
	case SCHEMA_ENUM:
		return put_symbol(t, text, len, out, err);
	case SCHEMA_INT:
	case SCHEMA_LONG:
		return put_moment(t, text, len, out, err);
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
		return put_infinite(t, text, len, out, err);
	case SCHEMA_BYTES:
	case SCHEMA_FIXED:
		return put_blob(t, text, len, out, err);
	case SCHEMA_NULL:
	case SCHEMA_BOOLEAN:
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
	case SCHEMA_UNION:
		break;
	}
	return refuse_value(t, text, len, true, NULL, err);
}
