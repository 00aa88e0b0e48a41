/*
 * fuzz_key.c - any bytes as a message's key: what a tombstone's row is made of.
 *
 *   input: one byte picks the schemas, one the record's time, the rest is the key's datum
 *
 *   taken     the datum is whole by its own schema; the row has the key's columns, each of them
 *             with a value, and nothing else but the version
 *   refused   out is as it was, and the reason has words
 */
#include "codec/decode.h"
#include "codec/measure.h"
#include "codec/plan.h"
#include "codec/table.h"
#include "fuzz.h"
#include "schema/schema.h"

static const struct decode_limits limits = {.max_depth = 64,
					    .max_items = 100000,
					    .max_string_bytes = 1 << 20,
					    .max_row_bytes = 1 << 22,
					    .max_key_bytes = 2600};

/* Files of a stream and of its key; then a table of one key column, and its key bare. */
static const struct {
	const char *event, *key;
	bool bare;
} sources[] = {
	{"schemas/memory_event.avsc", "schemas/memory_key.avsc", false},
	{"schemas/pattern_event.avsc", "schemas/pattern_key.avsc", false},
	{"schemas/trajectory_event.avsc", "schemas/trajectory_key.avsc", false},
	{"tests/schemas/everything.avsc", "tests/schemas/everything_key.avsc", false},
	{"\"string\"", "\"string\"", true},
	{"\"string\"", "[\"null\",\"string\",\"long\"]", true},
	{"\"long\"", "\"int\"", true},
	{"\"string\"", "\"bytes\"", true},
	{"{\"type\":\"string\",\"logicalType\":\"uuid\"}",
	 "{\"type\":\"string\",\"logicalType\":\"uuid\"}", true},
	{"{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}",
	 "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}", true},
	{"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":12,\"scale\":3}",
	 "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":12,\"scale\":3}", true},
	{"{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}",
	 "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"B\",\"A\",\"C\"]}", true},
};

static struct pair {
	struct schema *event, *key;
	struct table *table;
	struct plan *plan;
	struct measure *measure;
} pairs[ARRAY_LEN(sources)];

static struct decoder *decoder;

static struct schema *parse(const char *source, bool text, struct err *err)
{
	struct schema *s =
		text ? schema_parse(source, strlen(source), err) : schema_read(source, err);
	if (!s)
		give_up(source, err->text);
	return s;
}

static struct schema *bare_event(const char *type, struct err *err)
{
	char *text = xasprintf(
		"{\"type\":\"record\",\"name\":\"R\",\"pg\":{\"table\":\"t\",\"key\":[\"k\"],"
		"\"version\":\"v\"},\"fields\":[{\"name\":\"v\",\"type\":{\"type\":\"long\","
		"\"logicalType\":\"timestamp-millis\"}},{\"name\":\"k\",\"type\":%s}]}",
		type);
	struct schema *s = parse(text, true, err);
	free(text);
	return s;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	struct err err = {0};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct pair *p = &pairs[i];
		p->event = sources[i].bare ? bare_event(sources[i].event, &err)
					   : parse(sources[i].event, false, &err);
		p->key = parse(sources[i].key, sources[i].bare, &err);
		p->table = table_new(p->event, &err);
		p->plan = p->table ? plan_new_key(p->key, p->table, NULL, &err) : NULL;
		if (!p->plan)
			give_up(sources[i].key, err.text);
		p->measure = measure_new(p->key);
	}
	decoder = decoder_new(&limits);
	return 0;
}

/* The row stands behind one byte. */
static void check_row(const struct pair *p, const struct buf *row, const struct record *record)
{
	const struct table *t = p->table;
	size_t at = 1;
	for (size_t i = 0; i < t->ncolumns; i++) {
		if (row->len - at < 4)
			give_up("row", "it ends early");
		uint32_t len = get_be32(row->data + at);
		bool null = len == UINT32_MAX, key = i < t->nkeys;
		if (key ? null : !null && !(record->has_version && (int)i == t->version))
			give_up("row", key ? "a key column without a value" : "another column");
		at += 4;
		if (!null && len > row->len - at)
			give_up("row", "a field of more bytes than there are");
		at += null ? 0 : len;
		if (i + 1 == t->nkeys && record->key_len != at - 1)
			give_up("row", "key_len");
	}
	if (at != row->len || record->row_len != at - 1 || record->op != RECORD_DELETE)
		give_up("row", "its length, or what it is for");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t times[] = {DECODE_NO_VERSION, 0, INT64_C(1700000000000),
					INT64_MAX / 1000, INT64_MIN + 1};
	struct buf row = {0};
	struct record record = {0};
	struct err err = {0};
	size_t len = 0;
	if (size < 2)
		return 0;
	const struct pair *p = &pairs[data[0] % ARRAY_LEN(pairs)];
	struct slice body = {data + 2, size - 2};
	buf_u8(&row, 'x');
	if (decode_key(decoder, p->plan, body, times[data[1] % ARRAY_LEN(times)], &row, &record,
		       &err)) {
		check_row(p, &row, &record);
		if (!measure_datum(p->measure, body, &len, &err) || len != body.len)
			give_up("what was taken is no whole datum", err.text);
	} else {
		check_words(&err);
		if (row.len != 1 || err.class != ERR_POISON)
			give_up("a refusal changed the row, or is none of an event", err.text);
	}
	buf_free(&row);
	return 0;
}
