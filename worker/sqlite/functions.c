/*
 * functions.c - sums, JSON and comparison as PostgreSQL has them.
 *
 * Why not SQLite's: its + makes a float of an integer that overflows, and knows no smallint; a
 * text, which NaN is stored as, counts 0 there. Its json_patch() takes null for a deletion and goes
 * into nested objects. IS NOT is per column, and hundreds of them make a long statement.
 *
 * JSON is read as a row of tokens (file/jtape.h), so numbers keep their digits. Members of an
 * object are gathered, sorted by key, and of equal ones the last value is kept, at the first's
 * place: the time is n log n whatever an event holds.
 *
 *   [t's members] [e's members] --sort by key, place--> one of each --sort by place--> text
 *
 * Thread: the connection's. Memory: of one call.
 */
#include "sqlite/functions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/table.h"
#include "file/jtape.h"
#include "sqlite/db.h"

/* The value's fault: see db.c. */
static void refuse_value(sqlite3_context *c, const char *why)
{
	struct db *db = sqlite3_user_data(c);
	db->refused = true;
	sqlite3_result_error(c, why, -1);
}

/* --- sums --- */

/* NaN is stored as text, as SQLite makes null of the float. */
static double real_of(sqlite3_value *v)
{
	return sqlite3_value_type(v) == SQLITE_TEXT ? (double)NAN : sqlite3_value_double(v);
}

static void add_reals(sqlite3_context *c, double a, double b, bool single)
{
	double sum = single ? (double)((float)a + (float)b) : a + b;
	if (isinf(sum) && !isinf(a) && !isinf(b))
		refuse_value(c, "the sum is out of the column's range");
	else if (isnan(sum))
		sqlite3_result_text(c, "NaN", -1, SQLITE_STATIC);
	else
		sqlite3_result_double(c, sum);
}

static void add(sqlite3_context *c, int n, sqlite3_value **v)
{
	(void)n;
	enum pg_kind kind = (enum pg_kind)sqlite3_value_int(v[2]);
	if (kind == PG_FLOAT4 || kind == PG_FLOAT8) {
		add_reals(c, real_of(v[0]), real_of(v[1]), kind == PG_FLOAT4);
		return;
	}
	int64_t most = kind == PG_INT2 ? INT16_MAX : kind == PG_INT4 ? INT32_MAX : INT64_MAX, sum;
	if (__builtin_add_overflow(sqlite3_value_int64(v[0]), sqlite3_value_int64(v[1]), &sum) ||
	    sum > most || sum < -most - 1)
		refuse_value(c, "the sum is out of the column's range");
	else
		sqlite3_result_int64(c, sum);
}

/* --- JSON --- */

struct member {
	const struct jtoken *key; /* the value is behind it */
	size_t place;
};

static int by_key(const void *x, const void *y)
{
	const struct member *a = x, *b = y;
	int order = memcmp(a->key->text, b->key->text, MIN(a->key->n, b->key->n));
	if (order == 0)
		order = (a->key->n > b->key->n) - (a->key->n < b->key->n);
	return order ? order : (a->place > b->place) - (a->place < b->place);
}

static int by_place(const void *x, const void *y)
{
	const struct member *a = x, *b = y;
	return (a->place > b->place) - (a->place < b->place);
}

static bool same_key(const struct member *a, const struct member *b)
{
	return a->key->n == b->key->n && memcmp(a->key->text, b->key->text, a->key->n) == 0;
}

static void put_json(const struct jtoken *v, struct buf *out);

/* Scalars can not fail. */
static void put_scalar(const struct jtoken *v, struct buf *out)
{
	struct err ignored;
	if (!jtape_write(v, out, &ignored))
		abort();
}

static size_t one_of_each(struct member *m, size_t n)
{
	size_t left = 0;
	qsort(m, n, sizeof(*m), by_key);
	for (size_t i = 0; i < n; i++) {
		size_t place =
			m[i].place; /* of the first stays, so that equal objects are equal texts */
		while (i + 1 < n && same_key(&m[i], &m[i + 1]))
			i++;
		m[left++] = (struct member){m[i].key, place};
	}
	qsort(m, left, sizeof(*m), by_place);
	return left;
}

/* One object of all members; of equal keys the last. b: NULL if there is only one. */
static void put_union(const struct jtoken *a, const struct jtoken *b, struct buf *out)
{
	size_t n = 0, most = a->n + (b ? b->n : 0);
	struct member *all = xmalloc((most + 1) * sizeof(*all));
	for (const struct jtoken *object = a; object; object = object == a ? b : NULL) {
		const struct jtoken *key = object + 1;
		for (uint32_t i = 0; i < object->n; i++, key = jtape_next(key + 1), n++)
			all[n] = (struct member){key, n};
	}
	n = one_of_each(all, n);
	buf_u8(out, '{');
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i ? "," : "");
		put_scalar(all[i].key, out);
		buf_u8(out, ':');
		put_json(all[i].key + 1, out);
	}
	buf_u8(out, '}');
	free(all);
}

/* Without the brackets; what is no array is one value. */
static void put_values(const struct jtoken *v, struct buf *out)
{
	const struct jtoken *at = v + 1;
	if (v->kind != JTOKEN_ARRAY) {
		put_json(v, out);
		return;
	}
	for (uint32_t i = 0; i < v->n; i++, at = jtape_next(at)) {
		buf_puts(out, i ? "," : "");
		put_json(at, out);
	}
}

/* As deep as the text is nested: at most JTAPE_MAX_DEPTH. */
static void put_json(const struct jtoken *v, struct buf *out)
{
	if (v->kind == JTOKEN_OBJECT) {
		put_union(v, NULL, out);
	} else if (v->kind == JTOKEN_ARRAY) {
		buf_u8(out, '[');
		put_values(v, out);
		buf_u8(out, ']');
	} else {
		put_scalar(v, out);
	}
}

/* As jsonb: two objects are united, all else is two arrays. */
static void put_concat(const struct jtoken *a, const struct jtoken *b, struct buf *out)
{
	bool comma = (a->kind != JTOKEN_ARRAY || a->n > 0) && (b->kind != JTOKEN_ARRAY || b->n > 0);
	if (a->kind == JTOKEN_OBJECT && b->kind == JTOKEN_OBJECT) {
		put_union(a, b, out);
		return;
	}
	buf_u8(out, '[');
	put_values(a, out);
	buf_puts(out, comma ? "," : "");
	put_values(b, out);
	buf_u8(out, ']');
}

/* A copy that may be spoilt, with the zeros behind it that the parser wants. */
static bool parse(struct jtape *tape, struct buf *copy, struct slice text)
{
	struct err ignored;
	buf_put(copy, text.data, text.len);
	memset(buf_take(copy, 9), 0, 9);
	return jtape_parse(tape, (char *)copy->data, text.len, &ignored);
}

static struct slice text_of(sqlite3_value *v)
{
	const unsigned char *text = sqlite3_value_text(v);
	return (struct slice){text, (size_t)sqlite3_value_bytes(v)};
}

static void concat(sqlite3_context *c, int n, sqlite3_value **v)
{
	(void)n;
	struct jtape a = {0}, b = {0};
	struct buf texts[2] = {0}, out = {0};
	bool held = parse(&a, &texts[0], text_of(v[0])), came = parse(&b, &texts[1], text_of(v[1]));
	if (!came || b.tokens->kind == JTOKEN_NULL) {
		sqlite3_result_value(c, v[0]);
	} else if (!held || a.tokens->kind == JTOKEN_NULL) {
		sqlite3_result_value(c, v[1]);
	} else {
		put_concat(a.tokens, b.tokens, &out);
		sqlite3_result_text64(c, (const char *)out.data, out.len, SQLITE_TRANSIENT,
				      SQLITE_UTF8);
	}
	jtape_free(&a);
	jtape_free(&b);
	buf_free(&texts[0]);
	buf_free(&texts[1]);
	buf_free(&out);
}

bool json_compact(struct slice text, struct buf *out)
{
	struct jtape tape = {0};
	struct buf copy = {0};
	bool ok = parse(&tape, &copy, text);
	if (ok)
		put_json(tape.tokens, out);
	jtape_free(&tape);
	buf_free(&copy);
	return ok;
}

/* --- comparison --- */

static bool is_same(sqlite3_value *a, sqlite3_value *b)
{
	int type = sqlite3_value_type(a);
	if (type != sqlite3_value_type(b))
		return false;
	if (type == SQLITE_NULL)
		return true;
	if (type == SQLITE_INTEGER)
		return sqlite3_value_int64(a) == sqlite3_value_int64(b);
	if (type == SQLITE_FLOAT)
		return sqlite3_value_double(a) == sqlite3_value_double(b);
	const void *x = sqlite3_value_blob(a), *y = sqlite3_value_blob(b);
	int n = sqlite3_value_bytes(a);
	return n == sqlite3_value_bytes(b) && (n == 0 || memcmp(x, y, (size_t)n) == 0);
}

static void differ(sqlite3_context *c, int n, sqlite3_value **v)
{
	bool same = true;
	for (int i = 0; same && i + 1 < n; i += 2)
		same = is_same(v[i], v[i + 1]);
	sqlite3_result_int(c, !same);
}

bool functions_add(struct db *db, struct err *err)
{
	static const struct {
		const char *name;
		int n;
		void (*call)(sqlite3_context *, int, sqlite3_value **);
	} all[] = {{"memingest_add", 3, add},
		   {"memingest_json", 2, concat},
		   {"memingest_differ", -1, differ}};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (sqlite3_create_function(db->handle, all[i].name, all[i].n,
					    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
					    db, all[i].call, NULL, NULL) != SQLITE_OK)
			return err_set(err, ERR_FATAL, "%s: %s", all[i].name,
				       sqlite3_errmsg(db->handle));
	return true;
}
