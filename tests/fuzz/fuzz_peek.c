/*
 * fuzz_peek.c - any bytes as a datum, under many schemas: shown to a person, and recoded.
 *
 *   input: one byte picks the schemas, the rest is the datum
 *
 *   peek_datum()   is text: UTF-8, no control characters but line ends, of a bounded length; the
 *                  same for peek_text() and peek_plain() of the bytes themselves
 *   recode()       a whole datum of the reader's schema or nothing; where the decoder takes both
 *                  the datum and what it was recoded to, it makes the same row of them
 *
 * Schemas: those of fuzz_decode.c.
 */
#include "../unit/random_avro.h"
#include "../unit/same_rows.h"
#include "codec/decode.h"
#include "codec/measure.h"
#include "codec/peek.h"
#include "codec/plan.h"
#include "codec/recode.h"
#include "codec/text.h"
#include "fuzz.h"
#include "schema/schema.h"

enum { PAIRS = 96, SHOWN_MAX = 300 * 1024 };

static const char *const files[] = {"schemas/memory_event.avsc", "schemas/pattern_event.avsc",
				    "schemas/trajectory_event.avsc",
				    "tests/schemas/everything.avsc"};

static const struct decode_limits limits = {.max_depth = 64,
					    .max_items = 100000,
					    .max_string_bytes = 1 << 20,
					    .max_row_bytes = 1 << 22,
					    .max_key_bytes = 1 << 20};

static struct pair {
	struct schema *writer, *reader;
	struct table *table;
	struct plan *plan, *own; /* of the writer's data, of the reader's */
	struct recoder *recoder;
	struct measure *measure; /* of the reader's data */
} pairs[PAIRS];

static struct decoder *decoder;

static void make_pair(struct pair *p, size_t i, struct err *err)
{
	struct random_pair text = {0};
	struct random random = {.state = i};
	if (i < ARRAY_LEN(files)) {
		p->writer = schema_read(files[i], err);
		p->reader = schema_read(files[i], err);
	} else {
		random_pair(&random, &text);
		p->writer = schema_parse((char *)text.writer.data, text.writer.len, err);
		p->reader = schema_parse((char *)text.reader.data, text.reader.len, err);
		random_pair_free(&text);
	}
	p->table = p->writer && p->reader ? table_new(p->reader, err) : NULL;
	p->plan = p->table ? plan_new(p->writer, p->table, err) : NULL;
	p->own = p->plan ? plan_new(p->reader, p->table, err) : NULL;
	p->recoder = p->own ? recoder_new(p->writer, p->reader, &limits, err) : NULL;
	if (!p->recoder)
		give_up("schemas", err->text);
	p->measure = measure_new(p->reader);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	struct err err = {0};
	for (size_t i = 0; i < PAIRS; i++)
		make_pair(&pairs[i], i, &err);
	decoder = decoder_new(&limits);
	return 0;
}

static void check_shown(const struct buf *out, size_t max, const char *what)
{
	struct refusal why = {0};
	if (out->len > max)
		give_up(what, "too long");
	if (!text_check_utf8((struct slice){out->data, out->len}, &why))
		give_up(what, why.text);
	for (size_t i = 0; i < out->len; i++)
		if ((out->data[i] < 0x20 && out->data[i] != '\n') || out->data[i] == 0x7f)
			give_up(what, "a control character");
}

static void check_peek(const struct pair *p, struct slice body)
{
	struct buf out = {0};
	peek_datum(p->writer, body, &out);
	check_shown(&out, SHOWN_MAX, "peek_datum");
	out.len = 0;
	peek_text(body, 100, &out);
	check_shown(&out, 1000, "peek_text");
	out.len = 0;
	peek_plain(body, &out);
	check_shown(&out, body.len, "peek_plain");
	buf_free(&out);
}

static void check_recode(const struct pair *p, struct slice body)
{
	struct buf out = {0}, before = {0}, after = {0};
	struct record was = {0}, is = {0};
	struct err err = {0};
	size_t len = 0;
	buf_u8(&out, 'x');
	if (!recode(p->recoder, body, &out, &err)) {
		check_words(&err);
		if (out.len != 1 || err.class != ERR_POISON)
			give_up("a refusal left something, or is none of an event", err.text);
		buf_free(&out);
		return;
	}
	struct slice again = {out.data + 1, out.len - 1};
	if (!measure_datum(p->measure, again, &len, &err) || len != again.len)
		give_up("recoded to no whole datum", err.text);
	if (decode_record(decoder, p->plan, body, &before, &was, &err) &&
	    decode_record(decoder, p->own, again, &after, &is, &err) &&
	    (was.op != is.op || !same_rows(p->table, (struct slice){before.data, before.len},
					   (struct slice){after.data, after.len})))
		give_up("recoded", "to another row");
	buf_free(&out);
	buf_free(&before);
	buf_free(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	const struct pair *p = &pairs[data[0] % PAIRS];
	struct slice body = {data + 1, size - 1};
	check_peek(p, body);
	check_recode(p, body);
	return 0;
}
