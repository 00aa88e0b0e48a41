/*
 * shown.c - what commands need beside SQLite's own functions.
 *
 *   stored value --COPY BINARY field--> codec/pgtext.c --> text     times; the rest is text already
 *   text --file/moment.c, digits--> stored value
 *
 * So a row reads the same from a file as from PostgreSQL; what differs is in docs/SQLITE.md.
 *
 * Vectors are compared one by one, in double precision, with SQLite's ORDER BY .. LIMIT keeping the
 * nearest: memory is bounded by their number. The question is parsed once a statement.
 *
 * Thread: the connection's. Memory: of one call, and the question of one statement.
 */
#include "sqlite/shown.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"
#include "codec/pgbin.h"
#include "codec/pgtext.h"
#include "codec/text.h"
#include "file/moment.h"
#include "file/number.h"
#include "sqlite/form.h"

/* --- as text --- */

static bool has_zone(const struct column *c)
{
	return strstr(c->type, "timestamptz") || strstr(c->type, "with time zone");
}

void shown_put_kind(struct buf *out, const struct column *c)
{
	buf_printf(out, "%d, %d", (int)c->kind, has_zone(c));
}

/* Of dates and times, whose numbers count from 1970. */
static void put_moment(struct buf *out, enum pg_kind kind, bool zone, int64_t n)
{
	uint8_t field[8];
	const struct column c = {.kind = kind, .stage_type = zone ? "timestamptz" : ""};
	if (kind == PG_DATE)
		put_be32(field, (uint32_t)(n - EPOCH_2000_DAYS));
	else
		put_be64(field, (uint64_t)(kind == PG_TIME ? n : n - EPOCH_2000_US));
	pgtext_value(&c, (struct slice){field, kind == PG_DATE ? 4 : 8}, out);
}

static void put_vector(struct buf *out, sqlite3_value *v)
{
	const uint8_t *bytes = sqlite3_value_blob(v);
	size_t n = (size_t)sqlite3_value_bytes(v) / sizeof(float);
	buf_puts(out, "[");
	for (size_t i = 0; i < n; i++) {
		float f;
		memcpy(&f, bytes + i * sizeof(f), sizeof(f));
		buf_puts(out, i ? "," : "");
		buf_real(out, (double)f, true);
	}
	buf_puts(out, "]");
}

static void put_hex(struct buf *out, sqlite3_value *v)
{
	const uint8_t *bytes = sqlite3_value_blob(v);
	buf_puts(out, "\\x");
	for (int i = 0; i < sqlite3_value_bytes(v); i++)
		buf_printf(out, "%02x", bytes[i]);
}

/* Texts, and numbers that are stored as text. */
static void put_stored(struct buf *out, sqlite3_value *v)
{
	const unsigned char *text = sqlite3_value_text(v);
	buf_put(out, text, (size_t)sqlite3_value_bytes(v));
}

/* Whether it is stored as memingest stores its kind; others may have written anything. */
static bool is_as_stored(enum pg_kind kind, sqlite3_value *v)
{
	int type = sqlite3_value_type(v);
	switch (kind) {
	case PG_BOOL:
	case PG_DATE:
	case PG_TIME:
	case PG_TIMESTAMP:
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
		return type == SQLITE_INTEGER;
	case PG_BYTEA:
		return type == SQLITE_BLOB;
	case PG_VECTOR:
	case PG_HALFVEC:
		return type == SQLITE_BLOB && sqlite3_value_bytes(v) % sizeof(float) == 0;
	case PG_FLOAT4:
	case PG_FLOAT8:
	case PG_TEXT:
	case PG_JSONB:
	case PG_UUID:
	case PG_INTERVAL:
	case PG_NUMERIC:
	case PG_ARRAY:
		return type != SQLITE_BLOB;
	}
	return true;
}

/* What is stored as no value of its kind is: so that "verify" shows in what two values differ. */
static void put_alien(struct buf *out, sqlite3_value *v)
{
	if (sqlite3_value_type(v) == SQLITE_BLOB)
		put_hex(out, v);
	else
		put_stored(out, v);
}

/* Not null. */
static void put_text(struct buf *out, enum pg_kind kind, bool zone, sqlite3_value *v)
{
	if (!is_as_stored(kind, v)) {
		put_alien(out, v);
		return;
	}
	switch (kind) {
	case PG_BOOL:
		buf_puts(out, sqlite3_value_int(v) ? "true" : "false");
		break;
	case PG_DATE:
	case PG_TIME:
	case PG_TIMESTAMP:
		put_moment(out, kind, zone, sqlite3_value_int64(v));
		break;
	case PG_FLOAT4:
	case PG_FLOAT8:
		if (sqlite3_value_type(v) == SQLITE_TEXT)
			put_stored(out, v);
		else
			buf_real(out, sqlite3_value_double(v), kind == PG_FLOAT4);
		break;
	case PG_BYTEA:
		put_hex(out, v);
		break;
	case PG_VECTOR:
	case PG_HALFVEC:
		put_vector(out, v);
		break;
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
	case PG_TEXT:
	case PG_JSONB:
	case PG_UUID:
	case PG_INTERVAL:
	case PG_NUMERIC:
	case PG_ARRAY:
		put_stored(out, v);
		break;
	}
}

static void give(sqlite3_context *c, struct buf *out)
{
	sqlite3_result_text64(c, buf_cstr(out), out->len, SQLITE_TRANSIENT, SQLITE_UTF8);
	buf_free(out);
}

static void text(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct buf out = {0};
	(void)n;
	if (sqlite3_value_type(v[2]) == SQLITE_NULL)
		return;
	put_text(&out, (enum pg_kind)sqlite3_value_int(v[0]), sqlite3_value_int(v[1]), v[2]);
	give(c, &out);
}

/* --- as JSON --- */

/* What stands in JSON as it is; NaN and infinities are texts there. */
static bool is_json(enum pg_kind kind, const char *shown)
{
	switch (kind) {
	case PG_BOOL:
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
	case PG_JSONB:
	case PG_ARRAY:
		return true;
	case PG_FLOAT4:
	case PG_FLOAT8:
	case PG_NUMERIC:
		return strpbrk(shown, "NI") == NULL;
	case PG_TEXT:
	case PG_BYTEA:
	case PG_UUID:
	case PG_DATE:
	case PG_TIME:
	case PG_TIMESTAMP:
	case PG_INTERVAL:
	case PG_VECTOR:
	case PG_HALFVEC:
		break;
	}
	return false;
}

/* As ISO has it, and PostgreSQL in JSON: "2026-01-31T12:00:00+00:00". */
static void put_iso(struct buf *out, bool zone, struct buf *shown)
{
	char *blank = strchr(buf_cstr(shown), ' ');
	const char *end = blank && zone ? strstr(blank, "+00") : NULL;
	if (blank)
		*blank = 'T';
	if (end)
		buf_printf(out, "%.*s:00%s", (int)(end + 3 - (const char *)shown->data),
			   (const char *)shown->data, end + 3);
	else
		buf_puts(out, buf_cstr(shown));
}

static void shown(sqlite3_context *c, int n, sqlite3_value **v)
{
	enum pg_kind kind = (enum pg_kind)sqlite3_value_int(v[0]);
	bool zone = sqlite3_value_int(v[1]);
	struct buf plain = {0}, out = {0}, iso = {0};
	(void)n;
	if (sqlite3_value_type(v[2]) == SQLITE_NULL) {
		sqlite3_result_text(c, "null", -1, SQLITE_STATIC);
		return;
	}
	put_text(&plain, kind, zone, v[2]);
	bool moment = kind == PG_TIMESTAMP && is_as_stored(kind, v[2]);
	if (moment)
		put_iso(&iso, zone, &plain);
	struct buf *said = moment ? &iso : &plain;
	if (is_as_stored(kind, v[2]) && is_json(kind, buf_cstr(said)))
		buf_put(&out, said->data, said->len);
	else
		form_put_string((struct slice){said->data, said->len}, &out);
	give(c, &out);
	buf_free(&plain);
	buf_free(&iso);
}

/* --- from text --- */

struct question {
	size_t n;
	double length; /* of the vector */
	float v[];
};

/* Our own text. NULL: out of memory, or it is none. */
static struct question *parse_question(const char *s)
{
	size_t n = 1;
	for (const char *p = s; *p; p++)
		n += *p == ',';
	struct question *q = sqlite3_malloc64(sizeof(*q) + n * sizeof(float));
	if (!q || *s != '[') {
		sqlite3_free(q);
		return NULL;
	}
	double sum = 0;
	q->n = n;
	for (size_t i = 0; i < n; i++) {
		char *end;
		q->v[i] = strtof(s + 1, &end);
		sum += (double)q->v[i] * (double)q->v[i];
		s = end;
	}
	q->length = sqrt(sum);
	return q;
}

static void refuse_text(sqlite3_context *c, sqlite3_value **v, const char *why)
{
	struct db *db = sqlite3_user_data(c);
	char *words = xasprintf("%s: %s", (const char *)sqlite3_value_text(v[2]), why);
	db->refused = true;
	sqlite3_result_error(c, words, -1);
	free(words);
}

static void want_bool(sqlite3_context *c, sqlite3_value **v, const char *s)
{
	static const char *const words[] = {"false", "f", "no",  "n", "off", "0",
					    "true",  "t", "yes", "y", "on",  "1"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasecmp(words[i], s) != 0)
			continue;
		sqlite3_result_int(c, i >= ARRAY_LEN(words) / 2);
		return;
	}
	refuse_text(c, v, "is no boolean");
}

static void want_integer(sqlite3_context *c, sqlite3_value **v, enum pg_kind kind, const char *s)
{
	char *end;
	int64_t most = kind == PG_INT2 ? INT16_MAX : kind == PG_INT4 ? INT32_MAX : INT64_MAX;
	errno = 0;
	int64_t n = strtoll(s, &end, 10);
	if (end == s || *end || errno || n > most || n < -most - 1)
		refuse_text(c, v, "is no integer of the column's type");
	else
		sqlite3_result_int64(c, n);
}

static void want_moment(sqlite3_context *c, sqlite3_value **v, enum pg_kind kind, const char *s)
{
	enum schema_logical logical = kind == PG_DATE                ? LOGICAL_DATE
				      : kind == PG_TIME              ? LOGICAL_TIME_MICROS
				      : sqlite3_value_int(v[1]) != 0 ? LOGICAL_TIMESTAMP_MICROS
								     : LOGICAL_LOCAL_MICROS;
	int64_t n;
	const char *why = moment_parse(logical, s, strlen(s), &n);
	if (why)
		refuse_text(c, v, why);
	else
		sqlite3_result_int64(c, n);
}

/* In the one form that is stored: eight, four, four, four and twelve hexadecimal digits. */
static void want_uuid(sqlite3_context *c, sqlite3_value **v, const char *s)
{
	char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	bool ok = strlen(s) == sizeof(form) - 1;
	for (size_t i = 0; ok && form[i]; i++) {
		bool digit = form[i] == 'x' && strchr("0123456789abcdefABCDEF", s[i]);
		ok = digit || (form[i] == '-' && s[i] == '-');
		form[i] = digit && s[i] < 'a' && s[i] > '9' ? (char)(s[i] + 'a' - 'A') : s[i];
	}
	if (ok)
		sqlite3_result_text(c, form, -1, SQLITE_TRANSIENT);
	else
		refuse_text(c, v, "is no UUID");
}

/* Behind \x hexadecimal digits; a text without a backslash is its bytes. */
static void want_bytes(sqlite3_context *c, sqlite3_value **v, const char *s)
{
	struct buf out = {0};
	size_t len = strlen(s);
	bool hex = strncmp(s, "\\x", 2) == 0, plain = !strchr(s, '\\');
	if (!plain &&
	    !(hex && len % 2 == 0 && strspn(s + 2, "0123456789abcdefABCDEF") == len - 2)) {
		refuse_text(c, v, "is no bytes: write \\x and hexadecimal digits");
		return;
	}
	for (s += hex ? 2 : 0; *s; s += plain ? 1 : 2)
		buf_u8(&out, plain ? (uint8_t)*s : (uint8_t)hex_byte(s));
	sqlite3_result_blob64(c, out.len ? out.data : (const void *)"", out.len, SQLITE_TRANSIENT);
	buf_free(&out);
}

/* [0.1,0.2], numbers that the column holds. */
static void want_vector(sqlite3_context *c, sqlite3_value **v, bool half, const char *s)
{
	struct question *q = parse_question(s);
	if (!q) {
		refuse_text(c, v, "is no vector");
		return;
	}
	for (size_t i = 0; half && i < q->n; i++) {
		uint16_t bits;
		q->v[i] = pgbin_half(q->v[i], &bits) ? form_half(bits) : q->v[i];
	}
	sqlite3_result_blob64(c, q->v, q->n * sizeof(float), SQLITE_TRANSIENT);
	sqlite3_free(q);
}

static void wanted(sqlite3_context *c, int n, sqlite3_value **v)
{
	enum pg_kind kind = (enum pg_kind)sqlite3_value_int(v[0]);
	const char *s = (const char *)sqlite3_value_text(v[3]);
	(void)n;
	if (!s)
		return;
	switch (kind) {
	case PG_BOOL:
		want_bool(c, v, s);
		break;
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
		want_integer(c, v, kind, s);
		break;
	case PG_DATE:
	case PG_TIME:
	case PG_TIMESTAMP:
		want_moment(c, v, kind, s);
		break;
	case PG_UUID:
		want_uuid(c, v, s);
		break;
	case PG_BYTEA:
		want_bytes(c, v, s);
		break;
	case PG_VECTOR:
	case PG_HALFVEC:
		want_vector(c, v, kind == PG_HALFVEC, s);
		break;
	case PG_NUMERIC: /* to SQLite what is none would be 0 */
		if (number_is(s, strlen(s)))
			sqlite3_result_value(c, v[3]);
		else
			refuse_text(c, v, "is no number");
		break;
	case PG_TEXT: /* the rest is not filtered by: see codec/table_search.c */
	case PG_FLOAT4:
	case PG_FLOAT8:
	case PG_JSONB:
	case PG_INTERVAL:
	case PG_ARRAY:
		sqlite3_result_value(c, v[3]);
		break;
	}
}

/* --- vectors --- */

/* As pgvector's <=>, <-> and <#>; no number for a vector without direction. */
static double distance_of(const struct question *q, const uint8_t *row, enum search_distance how)
{
	double dot = 0, own = 0, apart = 0;
	for (size_t i = 0; i < q->n; i++) {
		float f;
		memcpy(&f, row + i * sizeof(f), sizeof(f));
		double a = (double)q->v[i], b = (double)f;
		dot += a * b;
		own += b * b;
		apart += (a - b) * (a - b);
	}
	switch (how) {
	case SEARCH_COSINE:
		return 1 - MAX(-1.0, MIN(1.0, dot / (q->length * sqrt(own))));
	case SEARCH_L2:
		return sqrt(apart);
	case SEARCH_IP:
		return -dot;
	}
	abort();
}

static void distance(sqlite3_context *c, int n, sqlite3_value **v)
{
	(void)n;
	struct question *kept = sqlite3_get_auxdata(c, 2), *q = kept;
	if (sqlite3_value_type(v[1]) != SQLITE_BLOB)
		return;
	if (!q && !(q = parse_question((const char *)sqlite3_value_text(v[2])))) {
		sqlite3_result_error_nomem(c);
		return;
	}
	if ((size_t)sqlite3_value_bytes(v[1]) == q->n * sizeof(float)) {
		double d = distance_of(q, sqlite3_value_blob(v[1]),
				       (enum search_distance)sqlite3_value_int(v[0]));
		if (!isnan(d))
			sqlite3_result_double(c, d);
	}
	if (!kept) /* from here on it is SQLite's, which may free it at once */
		sqlite3_set_auxdata(c, 2, q, sqlite3_free);
}

/* --- the rest --- */

static void base64(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct buf out = {0};
	(void)n;
	if (sqlite3_value_type(v[0]) == SQLITE_NULL)
		return;
	const uint8_t *bytes = sqlite3_value_blob(v[0]);
	buf_base64(&out, (struct slice){bytes, (size_t)sqlite3_value_bytes(v[0])});
	give(c, &out);
}

static void utf8(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct refusal why;
	const unsigned char *text =
		sqlite3_value_type(v[0]) == SQLITE_TEXT ? sqlite3_value_text(v[0]) : NULL;
	(void)n;
	sqlite3_result_int(
		c, text && text_check_utf8((struct slice){text, (size_t)sqlite3_value_bytes(v[0])},
					   &why));
}

/* Never the same twice: gaps are told apart by their time. */
static void now(sqlite3_context *c, int n, sqlite3_value **v)
{
	static _Thread_local int64_t last_us;
	(void)n;
	(void)v;
	last_us = MAX(last_us + 1, clock_wall_us());
	sqlite3_result_int64(c, last_us);
}

bool shown_add(struct db *db, struct err *err)
{
	static const struct {
		const char *name;
		int n, flags;
		void (*call)(sqlite3_context *, int, sqlite3_value **);
	} all[] = {{"now", 0, 0, now},
		   {"clock_timestamp", 0, 0, now},
		   {"memingest_text", 3, SQLITE_DETERMINISTIC, text},
		   {"memingest_shown", 3, SQLITE_DETERMINISTIC, shown},
		   {"memingest_wanted", 4, SQLITE_DETERMINISTIC, wanted},
		   {"memingest_distance", 3, SQLITE_DETERMINISTIC, distance},
		   {"memingest_base64", 1, SQLITE_DETERMINISTIC, base64},
		   {"memingest_utf8", 1, SQLITE_DETERMINISTIC, utf8}};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (sqlite3_create_function(db->handle, all[i].name, all[i].n,
					    SQLITE_UTF8 | SQLITE_DIRECTONLY | all[i].flags, db,
					    all[i].call, NULL, NULL) != SQLITE_OK)
			return err_set(err, ERR_FATAL, "%s: %s", all[i].name,
				       sqlite3_errmsg(db->handle));
	return true;
}
