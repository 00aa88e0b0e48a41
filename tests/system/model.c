/*
 * model.c - folds what the topics hold into tables in memory, one event after the other, by the
 * streams' rules.
 *
 * The point is to be simple enough to be believed: no batches, no order but that of the offsets,
 * values as JSON. It shares with the worker the reading of the annotated schema (struct table), and
 * nothing else: envelope, Avro, validation and rules are its own.
 *
 *   message -> envelope -> datum (event.c) -> values by column -> checked -> applied to its row
 *                 |           |      |                              |
 *                 +--frame    |      +--another record: schema,     +-- dead letter
 *                             |         or skipped
 *                             +--decode
 *
 * Rules under "newer" (the default): an event older than the row changes nothing but add, min and
 * max; at equal versions the later wins; a null version is the oldest; a delete without a version
 * is the newest. "update": the later offset wins. "skip": the first upsert stays. A delete forgets
 * the row and its version. Partitions are folded one after the other, which is right as long as a
 * key stays in one partition.
 */
#include "model.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "event.h"
#include "model_parts.h"

/* What tests declared; see model.h. */
static struct model_dead expected_dead[64];
static size_t nexpected_dead;
static struct model_partition starts[64];
static size_t nstarts;

void model_expect_dead(const char *topic, int32_t partition, int64_t offset, const char *reason)
{
	ck_assert_uint_lt(nexpected_dead, ARRAY_LEN(expected_dead));
	expected_dead[nexpected_dead++] =
		(struct model_dead){xstrdup(topic), partition, offset, reason, false};
}

void model_start_at(const char *topic, int32_t partition, int64_t offset)
{
	ck_assert_uint_lt(nstarts, ARRAY_LEN(starts));
	starts[nstarts++] = (struct model_partition){
		.topic = xstrdup(topic), .partition = partition, .start = offset};
}

struct model_dead *model_add_dead(struct model *m, const char *topic, int32_t partition,
				  int64_t offset, const char *reason)
{
	if (m->ndead == m->cap_dead) {
		m->cap_dead = m->cap_dead ? 2 * m->cap_dead : 64;
		m->dead = xrealloc(m->dead, m->cap_dead * sizeof(*m->dead));
	}
	m->dead[m->ndead] = (struct model_dead){topic, partition, offset, reason, false};
	return &m->dead[m->ndead++];
}

/* --- values --- */

static json_t *vector_value(json_t *v, uint32_t dim, const char **reason)
{
	size_t i, n = json_array_size(v);
	json_t *item;
	float *raw = xmalloc((n + 1) * sizeof(*raw));
	bool ok = json_is_array(v) && n > 0 && (dim == 0 || n == dim);
	json_array_foreach (v, i, item) {
		ok &= json_is_number(item);
		raw[i] = (float)json_number_value(item);
		ok &= isfinite(raw[i]);
	}
	json_t *value = ok ? json_stringn_nocheck((const char *)raw, n * sizeof(*raw)) : NULL;
	free(raw);
	*reason = ok ? NULL : "invalid_embedding";
	return value;
}

static json_t *jsonb_value(json_t *v, const char **reason)
{
	json_t *parsed = json_is_string(v) ? json_loadb(json_string_value(v), json_string_length(v),
							JSON_DECODE_ANY, NULL)
					   : json_incref(v);
	*reason = parsed ? NULL : "invalid_json";
	return parsed ? json_pack("{s:o}", "j", parsed) : NULL;
}

static bool clean_text(json_t *v)
{
	return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v);
}

static json_t *text_value(json_t *v, const char **reason)
{
	*reason = clean_text(v) ? NULL : "invalid_text";
	return *reason ? NULL : json_incref(v);
}

static json_t *array_value(json_t *v, const char **reason)
{
	size_t i;
	json_t *item;
	json_array_foreach (v, i, item) {
		if (!json_is_null(item) && !clean_text(item))
			*reason = "invalid_text";
	}
	return *reason ? NULL : json_incref(v);
}

static json_t *integer_value(json_t *v, int64_t lowest, int64_t highest, const char **reason)
{
	json_int_t n = json_integer_value(v);
	*reason = n < lowest || n > highest ? "out_of_range" : NULL;
	return *reason ? NULL : json_incref(v);
}

static json_t *timestamp_value(json_t *v, enum schema_logical logical, const char **reason)
{
	int64_t n = json_integer_value(v), us = n;
	if (logical == LOGICAL_TIMESTAMP_MILLIS || logical == LOGICAL_LOCAL_MILLIS) {
		if (__builtin_mul_overflow(n, 1000, &us))
			*reason = "out_of_range";
	} else if (logical == LOGICAL_TIMESTAMP_NANOS || logical == LOGICAL_LOCAL_NANOS) {
		us = n / 1000 - (n % 1000 < 0);
	}
	if (us < INT64_C(-210866803200000000)) /* 4713 BC, where PostgreSQL begins */
		*reason = "out_of_range";
	return *reason ? NULL : json_integer(us);
}

/* The column's value from the event's, new; NULL with a reason when it can not be stored. */
static json_t *column_value(const struct column *c, const struct schema_type *type, json_t *v,
			    const char **reason)
{
	*reason = NULL;
	if (!v || json_is_null(v)) {
		*reason = c->not_null ? "missing_field" : NULL;
		return c->not_null ? NULL : json_null();
	}
	switch (c->kind) {
	case PG_VECTOR:
		return vector_value(v, c->dim, reason);
	case PG_JSONB:
		return jsonb_value(v, reason);
	case PG_TEXT:
		return text_value(v, reason);
	case PG_ARRAY:
		return array_value(v, reason);
	case PG_INT2:
		return integer_value(v, INT16_MIN, INT16_MAX, reason);
	case PG_INT4:
	case PG_DATE:
		return integer_value(v, INT32_MIN, INT32_MAX, reason);
	case PG_INT8:
		return integer_value(v, INT64_MIN, INT64_MAX, reason);
	case PG_TIMESTAMP:
		return timestamp_value(v, type->logical, reason);
	case PG_FLOAT4:
		return json_real((double)(float)json_number_value(v));
	case PG_FLOAT8:
		return json_real(json_number_value(v));
	case PG_BOOL:
		return json_incref(v);
	case PG_BYTEA:
	case PG_UUID:
	case PG_TIME:
	case PG_INTERVAL:
	case PG_NUMERIC:
	case PG_HALFVEC:
		break;
	}
	ck_abort_msg("the model does not know the type of column %s: %s", c->name, c->type);
	return NULL;
}

/*
 * The value of a reader's field in an event written with any schema: by name, by alias, or the
 * reader's default.
 */
static json_t *field_of(json_t *event, const struct schema_field *field, json_t *reader,
			size_t index)
{
	json_t *v = json_object_get(event, field->name);
	for (size_t i = 0; !v && i < field->naliases; i++)
		v = json_object_get(event, field->aliases[i]);
	if (!v)
		v = json_object_get(json_array_get(json_object_get(reader, "fields"), index),
				    "default");
	return v;
}

enum extent { WHOLE, KEY_AND_VERSION, KEY };

/* Values by column; those beyond the extent are null. NULL with a reason. */
static json_t *values_of(const struct model_stream *ms, json_t *event, enum extent extent,
			 const char **reason)
{
	const struct table *t = ms->table;
	const struct schema_type *root = ms->schema->root;
	json_t *values = json_array();
	bool nullable;
	for (size_t i = 0; i < t->ncolumns; i++) {
		const struct column *c = &t->columns[i];
		const struct schema_field *field = &root->fields[c->field];
		const struct schema_type *type = schema_unwrap(field->type, &nullable);
		json_t *v = json_null();
		*reason = NULL;
		if (extent == WHOLE || i < t->nkeys ||
		    (extent == KEY_AND_VERSION && (int)i == t->version))
			v = column_value(c, type, field_of(event, field, ms->reader, c->field),
					 reason);
		if (*reason) {
			json_decref(values);
			return NULL;
		}
		json_array_append_new(values, v);
	}
	return values;
}

char *model_key_text(const struct table *table, json_t *values)
{
	json_t *key = json_array();
	for (size_t i = 0; i < table->nkeys; i++)
		json_array_append(key, json_array_get(values, i));
	char *text = json_dumps(key, JSON_COMPACT);
	json_decref(key);
	return text;
}

/* --- rules --- */

static bool version_of(const struct table *t, json_t *values, int64_t *version)
{
	json_t *v = t->version < 0 ? NULL : json_array_get(values, (size_t)t->version);
	*version = json_integer_value(v);
	return v && !json_is_null(v);
}

static struct model_row *find_row(struct model_stream *ms, const char *key)
{
	struct model_row *row;
	HASH_FIND_STR(ms->rows, key, row);
	return row;
}

static void remove_row(struct model_stream *ms, struct model_row *row)
{
	HASH_DEL(ms->rows, row);
	json_decref(row->values);
	free(row->key);
	free(row);
}

static json_t *plus(json_t *a, json_t *b)
{
	if (json_is_null(a) || json_is_null(b))
		return json_incref(json_is_null(a) ? b : a);
	if (json_is_integer(a))
		return json_integer(json_integer_value(a) + json_integer_value(b));
	return json_real(json_number_value(a) + json_number_value(b));
}

static json_t *extreme(json_t *a, json_t *b, bool highest)
{
	if (json_is_null(a) || json_is_null(b))
		return json_incref(json_is_null(a) ? b : a);
	bool second = json_is_integer(a) ? json_integer_value(b) > json_integer_value(a)
					 : json_number_value(b) > json_number_value(a);
	return json_incref(second == highest ? b : a);
}

/*
 * jsonb ||, for objects (the later of two equal keys wins); anything else is replaced as a test of
 * it would be by hand.
 */
static json_t *concat(json_t *a, json_t *b)
{
	if (json_is_null(a) || json_is_null(b))
		return json_incref(json_is_null(b) ? a : b);
	json_t *both = json_copy(json_object_get(a, "j"));
	ck_assert_msg(json_is_object(both), "the model concatenates only JSON objects");
	json_object_update(both, json_object_get(b, "j"));
	return json_pack("{s:o}", "j", both);
}

/* The column's new value, new reference. */
static json_t *merged(enum merge_rule rule, bool fresh, json_t *row, json_t *event)
{
	switch (rule) {
	case MERGE_REPLACE:
		return json_incref(fresh ? event : row);
	case MERGE_KEEP:
		return json_incref(row);
	case MERGE_COALESCE:
		return json_incref(fresh && !json_is_null(event) ? event : row);
	case MERGE_JSON:
		return fresh ? concat(row, event) : json_incref(row);
	case MERGE_ADD:
		return plus(row, event);
	case MERGE_MIN:
		return extreme(row, event, false);
	case MERGE_MAX:
		return extreme(row, event, true);
	}
	abort();
}

static bool by_version(const struct model_stream *ms)
{
	return ms->stream->on_conflict == CONFLICT_NEWER && ms->table->version >= 0;
}

static void insert_row(struct model_stream *ms, char *key, json_t *values)
{
	struct model_row *row = xcalloc(1, sizeof(*row));
	row->key = key;
	row->values = json_incref(values);
	row->partition = ms->partition;
	row->offset = ms->offset;
	HASH_ADD_KEYPTR(hh, ms->rows, row->key, strlen(row->key), row);
}

static void upsert(struct model_stream *ms, json_t *values)
{
	char *key = model_key_text(ms->table, values);
	struct model_row *row = find_row(ms, key);
	if (!row) {
		insert_row(ms, key, values);
		return;
	}
	free(key);
	row->partition = ms->partition;
	row->offset = ms->offset;
	if (ms->stream->on_conflict == CONFLICT_SKIP)
		return;
	int64_t held, given;
	bool has_held = version_of(ms->table, row->values, &held),
	     has_given = version_of(ms->table, values, &given);
	bool fresh = !by_version(ms) || !has_held || (has_given && held <= given);
	for (size_t i = ms->table->nkeys; i < ms->table->ncolumns; i++) {
		json_array_set_new(row->values, i,
				   merged(ms->table->columns[i].merge, fresh,
					  json_array_get(row->values, i),
					  json_array_get(values, i)));
	}
}

static void delete (struct model_stream *ms, json_t *values, bool has_version, int64_t version)
{
	char *key = model_key_text(ms->table, values);
	struct model_row *row = find_row(ms, key);
	int64_t held;
	free(key);
	if (!row)
		return;
	bool stale = by_version(ms) && has_version && version_of(ms->table, row->values, &held) &&
		     held > version;
	if (!stale)
		remove_row(ms, row);
}

/* --- messages --- */

/* The schema that the registry has under a path, borrowed; NULL when it has none. */
static json_t *writer_schema(struct model *m, const char *path)
{
	json_t *known = json_object_get(m->schemas, path);
	if (!known) {
		struct buf body = {0};
		unsigned status = http(stack.registry_port, path, NULL, &body);
		ck_assert_msg(status == 200 || status == 404, "registry: %s: HTTP %u", path,
			      status);
		json_t *answer = json_loadb((const char *)body.data, body.len, 0, NULL);
		const char *text = json_string_value(json_object_get(answer, "schema"));
		known = text ? json_loads(text, JSON_DECODE_ANY, NULL) : json_null();
		json_object_set_new(m->schemas, path, known ? known : json_null());
		known = json_object_get(m->schemas, path);
		json_decref(answer);
		buf_free(&body);
	}
	return json_is_null(known) ? NULL : known;
}

/*
 * Where the registry has the schema, and the datum: by the header (01 and a GUID), else by the
 * Confluent envelope. False: neither.
 */
static bool find_datum(struct slice message, struct slice header, char path[static 80],
		       struct slice *datum)
{
	*datum = message;
	if (header.data) {
		const uint8_t *g = header.data + 1;
		snprintf(path, 80,
			 "/schemas/guids/%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
			 "%02x%02x%02x%02x%02x%02x",
			 g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11],
			 g[12], g[13], g[14], g[15]);
		return header.len == 17 && header.data[0] == 1;
	}
	if (message.len < 5 || message.data[0] != 0)
		return false;
	snprintf(path, 80, "/schemas/ids/%u", get_be32(message.data + 1));
	*datum = (struct slice){message.data + 5, message.len - 5};
	return true;
}

/* By full name, and only that: the tests' schemas have neither aliases nor moved records. */
static bool same_record(json_t *a, json_t *b)
{
	static const char *const parts[] = {"name", "namespace"};
	bool same = true;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		json_t *x = json_object_get(a, parts[i]), *y = json_object_get(b, parts[i]);
		same &= x == y || json_equal(x, y);
	}
	return same;
}

/* Whether the datum is of another record than the stream's; of a union it says which. */
static bool is_other(const struct model_stream *ms, json_t *schema, struct slice datum)
{
	if (json_is_array(schema))
		schema = json_array_get(schema, datum.len ? datum.data[0] / 2 : 0);
	return !same_record(schema, ms->reader);
}

static const char skipped[] = "skipped"; /* in place of a reason */

/* The datum of a value, or of a key, new; NULL with a reason. */
static json_t *unwrap(struct model *m, const struct broker_message *msg, bool key,
		      const char **reason)
{
	char path[80];
	struct slice datum;
	bool bad_text = false;
	*reason = "frame";
	if (!find_datum(key ? msg->key : msg->value, key ? msg->key_id : msg->value_id, path,
			&datum))
		return NULL;
	*reason = "schema";
	json_t *schema = writer_schema(m, path);
	if (!schema)
		return NULL;
	if (!key && is_other(m->current, schema, datum)) {
		*reason = m->current->stream->other_types == OTHER_SKIP ? skipped : "schema";
		return NULL;
	}
	json_t *event = event_decode(schema, datum, &bad_text);
	*reason = event ? NULL : "decode";
	if (bad_text) {
		*reason = "invalid_text";
		json_decref(event);
		event = NULL;
	}
	return event;
}

static bool says_delete(const struct model_stream *ms, json_t *event)
{
	if (ms->table->delete_field < 0)
		return false;
	bool nullable;
	size_t index = (size_t)ms->table->delete_field;
	const struct schema_field *field = &ms->schema->root->fields[index];
	const struct schema_type *type = schema_unwrap(field->type, &nullable);
	const char *symbol = json_string_value(field_of(event, field, ms->reader, index));
	return symbol && strcmp(symbol, type->symbols[ms->table->delete_symbol]) == 0;
}

/* Applies one message. Returns why it is a dead letter, or NULL. */
static const char *apply(struct model *m, const struct broker_message *msg)
{
	struct model_stream *ms = m->current;
	const struct table *t = ms->table;
	bool tombstone = !msg->value.data, has_version;
	const char *reason;
	int64_t version;
	ms->partition = msg->partition;
	ms->offset = msg->offset;
	if (tombstone && !ms->stream->key_path[0])
		return "";
	json_t *event = unwrap(m, msg, tombstone, &reason);
	if (!event)
		return reason;
	bool gone = tombstone || says_delete(ms, event);
	json_t *values = values_of(ms, event,
				   tombstone ? KEY
				   : gone    ? KEY_AND_VERSION
					     : WHOLE,
				   &reason);
	json_decref(event);
	if (!values)
		return reason;
	if (gone) {
		has_version = version_of(t, values, &version);
		if (tombstone && t->version >= 0 && t->columns[t->version].kind == PG_TIMESTAMP) {
			has_version = true;
			version = msg->timestamp_ms * 1000 + 999;
		}
		delete (ms, values, has_version, version);
	} else {
		upsert(ms, values);
	}
	json_decref(values);
	return NULL;
}

static struct model_partition *partition_of(struct model *m, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < m->npartitions; i++) {
		if (m->partitions[i].partition == partition &&
		    strcmp(m->partitions[i].topic, topic) == 0)
			return &m->partitions[i];
	}
	return NULL;
}

static const char *declared_dead(const struct broker_message *msg)
{
	for (size_t i = 0; i < nexpected_dead; i++) {
		const struct model_dead *d = &expected_dead[i];
		if (d->offset == msg->offset && d->partition == msg->partition &&
		    strcmp(d->topic, msg->topic) == 0)
			return d->reason;
	}
	return NULL;
}

static bool in_gap(const struct model *m, const struct broker_message *msg)
{
	for (size_t i = 0; i < m->ngaps; i++) {
		const struct model_gap *g = &m->gaps[i];
		if (g->from <= msg->offset && msg->offset < g->to &&
		    g->partition == msg->partition && strcmp(g->topic, msg->topic) == 0)
			return true;
	}
	return false;
}

static void take(void *ctx, const struct broker_message *msg)
{
	struct model *m = ctx;
	struct model_partition *p = partition_of(m, msg->topic, msg->partition);
	ck_assert_ptr_nonnull(p);
	if (msg->offset < p->start)
		return;
	if (m->hear)
		m->hear(m->hear_ctx, msg);
	if (in_gap(m, msg))
		return;
	p->messages++;
	const char *reason = declared_dead(msg);
	if (!reason)
		reason = apply(m, msg);
	if (reason == skipped) {
		p->skipped++;
	} else if (reason) {
		p->dead++;
		model_add_dead(m, p->topic, msg->partition, msg->offset, *reason ? reason : NULL);
	}
}

/* --- the whole --- */

static void open_stream(struct model *m, struct bed_stream *s)
{
	struct model_stream *ms = &m->streams[m->nstreams++];
	struct err err = {0};
	ms->stream = s;
	ms->reader = event_schema(s->schema_path);
	char *text = json_dumps(ms->reader, JSON_COMPACT);
	ms->schema = schema_parse(text, strlen(text), &err);
	ck_assert_msg(ms->schema != NULL, "%s: %s", s->schema_path, err.text);
	ms->table = table_new(ms->schema, &err);
	ck_assert_msg(ms->table != NULL, "%s: %s", s->schema_path, err.text);
	free(text);
}

/* Those of the topic that the model does not know yet. */
static void open_partitions(struct model *m, const char *topic)
{
	int n = broker_partitions(topic);
	m->partitions =
		xrealloc(m->partitions, (m->npartitions + (size_t)n) * sizeof(*m->partitions));
	for (int i = 0; i < n; i++) {
		if (partition_of(m, topic, i))
			continue;
		struct model_partition *p = &m->partitions[m->npartitions++];
		*p = (struct model_partition){.topic = topic, .partition = i};
		for (size_t j = 0; j < nstarts; j++) {
			if (starts[j].partition == i && strcmp(starts[j].topic, topic) == 0)
				p->start = starts[j].start;
		}
	}
}

struct model *model_open(struct bed *bed)
{
	struct model *m = xcalloc(1, sizeof(*m));
	m->bed = bed;
	m->schemas = json_object();
	for (size_t i = 0; i < bed->nstreams; i++)
		open_stream(m, &bed->streams[i]);
	return m;
}

void model_advance(struct model *m)
{
	for (size_t i = 0; i < m->nstreams; i++) {
		const char *topic = m->streams[i].stream->topic;
		m->current = &m->streams[i];
		open_partitions(m, topic);
		for (size_t j = 0; j < m->npartitions; j++) {
			struct model_partition *p = &m->partitions[j];
			if (strcmp(p->topic, topic) == 0)
				p->next = broker_read_from(m->bed->name, topic, p->partition,
							   p->next, take, m);
		}
	}
}

void model_on_message(struct model *m, void (*hear)(void *ctx, const struct broker_message *msg),
		      void *ctx)
{
	m->hear = hear;
	m->hear_ctx = ctx;
}

void model_gap(struct model *m, const char *topic, int32_t partition, int64_t from, int64_t to)
{
	m->gaps = xrealloc(m->gaps, (m->ngaps + 1) * sizeof(*m->gaps));
	m->gaps[m->ngaps++] = (struct model_gap){xstrdup(topic), partition, from, to};
}

void model_restart(struct model *m, const char *topic)
{
	for (size_t i = 0; i < m->npartitions; i++) {
		struct model_partition *p = &m->partitions[i];
		if (strcmp(p->topic, topic) == 0)
			*p = (struct model_partition){.topic = p->topic, .partition = p->partition};
	}
	for (size_t i = 0; i < m->ngaps; i++) {
		struct model_gap *g = &m->gaps[i];
		if (strcmp(g->topic, topic) == 0)
			g->to = g->from;
	}
}

void model_free(struct model *m)
{
	for (size_t i = 0; i < m->nstreams; i++) {
		while (m->streams[i].rows)
			remove_row(&m->streams[i], m->streams[i].rows);
		table_free(m->streams[i].table);
		schema_free(m->streams[i].schema);
		json_decref(m->streams[i].reader);
	}
	json_decref(m->schemas);
	for (size_t i = 0; i < m->ngaps; i++)
		free((char *)(uintptr_t)m->gaps[i].topic);
	free(m->gaps);
	free(m->partitions);
	free(m->dead);
	free(m);
}
