/*
 * generate.c - real-looking events of any stream, from its schema alone: for "produce", benchmarks
 * and tests.
 *
 * Once, at the start, each field of the record gets a role:
 *
 *   KEY      counts: the key's index, or what remains of it where an integer key column takes the
 *            last 16th of it
 *   OP       the enum that says DELETE
 *   TIME     the column that decides which event is newer
 *   VECTOR   a unit vector of the column's dimension: array of float or double, or packed bytes
 *   JSON     a string whose column is jsonb
 *   PLAIN    whatever its Avro type says; its name only chooses between word, sentence and number
 *
 * An event is then drawn: what kind, which key, what time; and its fields are written one after
 * another into one buffer that is kept from event to event. Nothing is allocated per event.
 *
 *   value:  envelope | field | field | ...   key:  envelope | key fields as the key schema has them
 *
 * Poison is an upsert with one thing wrong; the kinds that the schema and the format allow take
 * turns, and each event says what is wrong and as which dead letter it must end.
 *
 * Invariant: the values of a key's columns depend on its index alone, and differ for different
 * indices.
 *
 * Thread: one owner. Failure: only generator_new() can fail, over a key that cannot count.
 */
#include "gen/generate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gen/generate_parts.h"
#include "schema/encode.h"

enum { DEFAULT_DIM = 8, LATE_US = 10 * 1000 * 1000 };

static const struct {
	const char *name;
	enum dead_reason reason;
} poisons[] = {
	[POISON_DIMENSION] = {"wrong dimension", REASON_INVALID_EMBEDDING},
	[POISON_NAN] = {"NaN in a vector", REASON_INVALID_EMBEDDING},
	[POISON_TRUNCATED] = {"truncated datum", REASON_DECODE},
	[POISON_MAGIC] = {"bad magic byte", REASON_FRAME},
	[POISON_SCHEMA] = {"unknown schema", REASON_SCHEMA},
	[POISON_JSON] = {"invalid JSON", REASON_INVALID_JSON},
	[POISON_NUL] = {"NUL in text", REASON_INVALID_TEXT},
};

/* ---- what the files share ---- */

const struct schema_type *generate_unwrap(const struct schema_type *t)
{
	bool nullable;
	const struct schema_type *inner = schema_unwrap(t, &nullable);
	return inner ? inner : t;
}

/* Nothing where the type is no union. */
void generate_branch(struct buf *out, const struct schema_type *t, const struct schema_type *inner)
{
	if (t->kind != SCHEMA_UNION)
		return;
	for (size_t i = 0; i < t->nbranches; i++)
		if (t->branches[i] == inner)
			encode_long(out, (int64_t)i);
}

/* A plausible time in the unit of the type; 0 for a plain number. */
int64_t generate_base(enum schema_logical logical)
{
	switch (logical) {
	case LOGICAL_DATE:
		return 10000;
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_LOCAL_MILLIS:
		return INT64_C(1500000000000);
	case LOGICAL_TIMESTAMP_MICROS:
	case LOGICAL_LOCAL_MICROS:
		return INT64_C(1500000000000000);
	case LOGICAL_TIMESTAMP_NANOS:
	case LOGICAL_LOCAL_NANOS:
		return INT64_C(1500000000000000000);
	case LOGICAL_NONE:
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIME_MICROS:
	case LOGICAL_UUID:
	case LOGICAL_DECIMAL:
	case LOGICAL_DURATION:
		return 0;
	}
	return 0;
}

bool generate_ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);
	return n >= m && strcmp(name + n - m, end) == 0;
}

bool generate_poison(struct generator *g, enum poison poison)
{
	if (g->poison != poison)
		return false;
	g->poison = POISON_NONE;
	return true;
}

/* ---- fields ---- */

static void put_time(struct generator *g, const struct schema_type *t, struct buf *out)
{
	int64_t us = g->event.time_us;
	switch (t->logical) {
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_LOCAL_MILLIS:
		encode_long(out, us / US_PER_MS);
		break;
	case LOGICAL_TIMESTAMP_NANOS:
	case LOGICAL_LOCAL_NANOS:
		encode_long(out, us * 1000);
		break;
	case LOGICAL_DATE:
		encode_long(out, us / (86400 * US_PER_S));
		break;
	case LOGICAL_NONE:
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIME_MICROS:
	case LOGICAL_TIMESTAMP_MICROS:
	case LOGICAL_LOCAL_MICROS:
	case LOGICAL_UUID:
	case LOGICAL_DECIMAL:
	case LOGICAL_DURATION:
		encode_long(out, t->kind == SCHEMA_INT ? (int64_t)g->count : us);
		break;
	}
}

static void put_op(const struct generator *g, const struct schema_type *t, struct buf *out)
{
	uint32_t delete = g->table->delete_symbol;
	uint32_t upsert = delete == 0 && t->nsymbols > 1 ? 1 : 0;
	encode_long(out, g->event.op == GENERATED_DELETE ? delete : upsert);
}

/* A delete needs its key and its time; the rest is left out. */
static bool put_nothing(const struct schema_field *f, struct buf *out)
{
	int null = f->type->kind == SCHEMA_UNION ? encode_branch(f->type, SCHEMA_NULL) : -1;
	if (null >= 0)
		encode_long(out, null);
	else if (f->default_json && !f->default_error)
		buf_put(out, f->default_datum.data, f->default_datum.len);
	else
		return false;
	return true;
}

/* Now and then a value that may be missing is, but never what this event is about. */
static bool left_out(struct generator *g, const struct field *f)
{
	if (f->role != ROLE_PLAIN && f->role != ROLE_JSON)
		return f->role == ROLE_VECTOR && g->event.op == GENERATED_DELETE;
	if (g->event.op == GENERATED_DELETE)
		return true;
	bool wanted = f->not_null || (f->role == ROLE_JSON && g->poison == POISON_JSON) ||
		      (f->text && g->poison == POISON_NUL);
	return !wanted && f->schema->type->kind == SCHEMA_UNION && fake_below(g->fake, 8) == 0;
}

/* A key column writes its own branch, as the key schema may differ. */
static void put_field(struct generator *g, const struct field *f, struct buf *out)
{
	const struct schema_type *type = f->schema->type, *t = generate_unwrap(type);
	if (left_out(g, f) && put_nothing(f->schema, out))
		return;
	if (f->role != ROLE_KEY && t != type)
		generate_branch(out, type, t);
	switch (f->role) {
	case ROLE_KEY:
		generate_key_column(g, f->key, type, g->event.key_index, out);
		break;
	case ROLE_OP:
		put_op(g, t, out);
		break;
	case ROLE_TIME:
		put_time(g, t, out);
		break;
	case ROLE_VECTOR:
		generate_vector(g, f, t, out);
		break;
	case ROLE_JSON:
		generate_json(g, out);
		break;
	case ROLE_PLAIN:
		generate_plain(g, f, t, out);
		break;
	}
}

/* NULL: the field has no column. */
static const struct column *column_of(const struct table *table, size_t field, size_t *index)
{
	for (*index = 0; *index < table->ncolumns; (*index)++)
		if (table->columns[*index].field == field)
			return &table->columns[*index];
	return NULL;
}

static bool holds_floats(const struct schema_type *t)
{
	return t->kind == SCHEMA_BYTES || t->kind == SCHEMA_FIXED ||
	       (t->kind == SCHEMA_ARRAY &&
		(t->items->kind == SCHEMA_FLOAT || t->items->kind == SCHEMA_DOUBLE));
}

/* The dimension that a vector in this field should have; 0: this is no vector. */
static uint32_t vector_dim(const struct schema_type *t, const struct column *c)
{
	bool packed = t->kind == SCHEMA_BYTES || t->kind == SCHEMA_FIXED;
	bool floats = c->kind == PG_ARRAY &&
		      (c->element == PG_FLOAT4 || (c->element == PG_FLOAT8 && !packed));
	if (!holds_floats(t) || (c->kind != PG_VECTOR && c->kind != PG_HALFVEC && !floats))
		return 0;
	if (t->kind == SCHEMA_FIXED)
		return t->size / sizeof(float);
	return c->dim > 0 ? c->dim : DEFAULT_DIM;
}

/* By the table: what a column is for, else what its type is. */
static void set_role(struct generator *g, struct field *f, size_t index)
{
	size_t at;
	const struct schema_type *t = generate_unwrap(f->schema->type);
	const struct column *c = column_of(g->table, index, &at);
	f->role = ROLE_PLAIN;
	if ((int)index == g->table->delete_field) {
		f->role = ROLE_OP;
		return;
	}
	if (!c)
		return;
	f->max_chars = c->max_chars;
	f->not_null = c->not_null;
	f->dim = vector_dim(t, c);
	if (at < g->table->nkeys) {
		f->role = ROLE_KEY;
		f->key = at;
	} else if ((int)at == g->table->version) {
		f->role = ROLE_TIME;
	} else if (f->dim > 0) {
		f->role = ROLE_VECTOR;
	} else if (c->kind == PG_JSONB && t->kind == SCHEMA_STRING) {
		f->role = ROLE_JSON;
	} else {
		f->text = c->kind == PG_TEXT && t->kind == SCHEMA_STRING;
	}
}

/* Only the kinds that can go wrong in this schema take turns. */
static void allow(struct generator *g, enum poison poison)
{
	for (size_t i = 0; i < g->nkinds; i++)
		if (g->kinds[i] == poison)
			return;
	g->kinds[g->nkinds++] = poison;
}

/* What a table of this kind can refuse, and what no table can take. */
static void choose_poisons(struct generator *g)
{
	allow(g, POISON_TRUNCATED);
	for (size_t i = 0; i < g->nfields; i++) {
		const struct field *f = &g->fields[i];
		if (f->role == ROLE_VECTOR) {
			if (generate_unwrap(f->schema->type)->kind != SCHEMA_FIXED)
				allow(g, POISON_DIMENSION);
			allow(g, POISON_NAN);
		} else if (f->role == ROLE_JSON) {
			allow(g, POISON_JSON);
		} else if (f->text) {
			allow(g, POISON_NUL);
		}
	}
	if (g->options.format != FRAME_RAW) {
		allow(g, POISON_MAGIC);
		allow(g, POISON_SCHEMA);
	}
}

/* NULL if no key column can count. */
struct generator *generator_new(const struct table *table, const struct schema *key_schema,
				const struct generator_options *options, struct err *err)
{
	const struct schema_type *record = table->reader->root;
	struct generator *g = xcalloc(1, sizeof(*g));
	g->options = *options;
	g->table = table;
	g->key_type = key_schema ? key_schema->root : NULL;
	g->fake = fake_new(options->seed);
	g->nfields = record->nfields;
	g->fields = xcalloc(record->nfields + 1, sizeof(*g->fields));
	for (size_t i = 0; i < record->nfields; i++) {
		g->fields[i].schema = &record->fields[i];
		set_role(g, &g->fields[i], i);
	}
	choose_poisons(g);
	bool ok = generate_choose_key(g, err);
	if (ok)
		return g;
	generator_free(g);
	return NULL;
}

void generator_free(struct generator *g)
{
	if (!g)
		return;
	fake_free(g->fake);
	free(g->fields);
	buf_free(&g->key);
	buf_free(&g->value);
	free(g);
}

/* ---- events ---- */

/* The shares are parts of one, so one draw decides. */
static enum generated_op draw_op(struct generator *g)
{
	const struct generator_options *o = &g->options;
	double x = fake_real(g->fake);
	if (x < o->poison_share)
		return GENERATED_POISON;
	x -= o->poison_share;
	if (x < o->tombstone_share)
		return GENERATED_TOMBSTONE;
	x -= o->tombstone_share;
	return x < o->delete_share && g->table->delete_field >= 0 ? GENERATED_DELETE
								  : GENERATED_UPSERT;
}

/* An update or a delete is of a key that was used; else the next new one. */
static void draw_key(struct generator *g)
{
	const struct generator_options *o = &g->options;
	struct generated *e = &g->event;
	bool full = o->keys > 0 && g->used_keys >= o->keys;
	bool removes = e->op == GENERATED_DELETE || e->op == GENERATED_TOMBSTONE;
	double x = fake_real(g->fake);
	e->update = g->used_keys > 0 && (full || removes || x < o->update_share);
	e->key_index = e->update ? fake_below(g->fake, g->used_keys) : g->used_keys++;
}

/* Strictly rising, but for those that are late on purpose. */
static void draw_time(struct generator *g)
{
	const struct generator_options *o = &g->options;
	int64_t step = o->step_us > 0 ? o->step_us : US_PER_MS;
	if (o->start_time_us > 0)
		g->last_time_us = o->start_time_us + (int64_t)g->count * step;
	else
		g->last_time_us = MAX(g->last_time_us + 1, clock_wall_us());
	g->event.time_us = g->last_time_us;
	if (o->late_share > 0 && fake_real(g->fake) < o->late_share)
		g->event.time_us -= 1 + (int64_t)fake_below(g->fake, LATE_US);
}

/* The kinds take turns, so that a short run has all of them. */
static void draw_poison(struct generator *g)
{
	g->poison = POISON_NONE;
	if (g->event.op != GENERATED_POISON)
		return;
	g->poison = g->kinds[g->next_kind++ % g->nkinds];
	g->event.poison = poisons[g->poison].name;
	g->event.reason = poisons[g->poison].reason;
}

/* What is wrong with the message as a whole, once it is written. */
static void spoil(struct generator *g, size_t frame_len)
{
	if (generate_poison(g, POISON_TRUNCATED))
		g->value.len = frame_len + (g->value.len - frame_len) * 2 / 3;
	else if (generate_poison(g, POISON_MAGIC))
		g->value.data[0] = 0x55;
	else if (generate_poison(g, POISON_SCHEMA))
		memcpy(g->value.data + (g->options.format == FRAME_CONFLUENT ? 1 : 2),
		       "\xff\xff\xff\xf0", 4);
	assert(g->poison == POISON_NONE);
}

/* The event is the generator's: good until the next call. */
const struct generated *generator_next(struct generator *g)
{
	struct generated *e = &g->event;
	*e = (struct generated){0};
	e->op = draw_op(g);
	draw_key(g);
	draw_time(g);
	draw_poison(g);
	g->count++;

	g->key.len = g->value.len = 0;
	generator_key(g, e->key_index, &g->key);
	e->key = (struct slice){g->key.data, g->key.len};
	if (e->op == GENERATED_TOMBSTONE)
		return e;
	encode_frame(&g->value, g->options.format, g->options.schema_id);
	size_t frame_len = g->value.len;
	for (size_t i = 0; i < g->nfields; i++)
		put_field(g, &g->fields[i], &g->value);
	spoil(g, frame_len);
	e->value = (struct slice){g->value.data, g->value.len};
	e->datum = (struct slice){g->value.data + frame_len, g->value.len - frame_len};
	return e;
}
