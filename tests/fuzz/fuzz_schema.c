/*
 * fuzz_schema.c - any text as a schema: parse, make a table and plans of it, and decode a few data
 * with them.
 *
 * What holds: the canonical form of a schema is a schema with the same canonical form and
 * fingerprint. Every failure has class CONFIG and a text. A schema resolves to itself, if there is
 * a table for it.
 */

#include "codec/decode.h"
#include "codec/plan.h"
#include "codec/table.h"
#include "fuzz.h"
#include "schema/schema.h"

static const struct decode_limits limits = {.max_depth = 64,
					    .max_items = 10000,
					    .max_string_bytes = 1 << 20,
					    .max_row_bytes = 1 << 22,
					    .max_key_bytes = 2600};

/* A reader that wants something of most writers. */
static const char wanted[] =
	"{\"type\":\"record\",\"name\":\"R\",\"pg\":{\"table\":\"t\",\"key\":[\"k\"]},\"fields\":["
	"{\"name\":\"k\",\"type\":\"string\",\"default\":\"\"},"
	"{\"name\":\"a\",\"type\":[\"null\",{\"type\":\"array\",\"items\":\"double\"}],\"default\":"
	"null},"
	"{\"name\":\"b\",\"type\":[\"null\",\"double\"],\"default\":null},"
	"{\"name\":\"c\",\"type\":[\"null\",\"string\"],\"default\":null}]}";

static struct schema *wanted_schema;
static struct table *wanted_table;
static struct decoder *decoder;

static void expect_config(const struct err *err)
{
	check_words(err);
	if (err->class != ERR_CONFIG)
		give_up("an error that is not the config's", err->text);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	struct err err = {0};
	wanted_schema = schema_parse(wanted, sizeof(wanted) - 1, &err);
	wanted_table = wanted_schema ? table_new(wanted_schema, &err) : NULL;
	if (!wanted_table)
		give_up("the reader of this file", err.text);
	decoder = decoder_new(&limits);
	return 0;
}

static void check_canonical(const struct schema *s)
{
	struct err err = {0};
	const char *text = schema_canonical(s);
	if (strlen(text) > SCHEMA_MAX_BYTES)
		return;
	struct schema *again = schema_parse(text, strlen(text), &err);
	if (!again)
		give_up(text, err.text);
	if (strcmp(schema_canonical(again), text) != 0 ||
	    schema_fingerprint(again) != schema_fingerprint(s))
		give_up("the canonical form of the canonical form", text);
	schema_free(again);
}

/* Zeros, and bytes that are other branches, symbols and lengths. */
static void decode_some(const struct plan *plan)
{
	static const uint8_t fills[] = {0, 2, 4, 6};
	uint8_t body[64];
	struct buf row = {0};
	struct record record;
	struct err err = {0};
	for (size_t i = 0; i < sizeof(fills) * 9; i++) {
		struct slice part = {body, i % 9 * 8};
		memset(body, fills[i / 9], sizeof(body));
		if (!decode_record(decoder, plan, part, &row, &record, &err) &&
		    err.class != ERR_POISON && err.class != ERR_CONFIG)
			give_up("decode_record", err.text);
	}
	buf_free(&row);
}

static void check_plan(struct plan *plan, const struct err *err)
{
	if (plan)
		decode_some(plan);
	else
		expect_config(err);
	plan_free(plan);
}

static void check_table(const struct schema *s)
{
	struct err err = {0};
	struct table *t = table_new(s, &err);
	if (!t) {
		expect_config(&err);
		return;
	}
	struct plan *plan = plan_new(s, t, &err);
	if (!plan)
		give_up("it does not resolve to itself", err.text);
	check_plan(plan, &err);
	plan = plan_new_key(s, t, NULL, &err);
	check_plan(plan, &err);
	table_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = {0};
	struct schema *s = schema_parse((const char *)data, size, &err);
	if (!s) {
		expect_config(&err);
		return 0;
	}
	check_canonical(s);
	check_table(s);
	struct plan *plan = plan_new(s, wanted_table, &err);
	check_plan(plan, &err);
	schema_free(s);
	return 0;
}
