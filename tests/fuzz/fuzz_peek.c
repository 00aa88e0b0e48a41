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
 * Schemas: those of pairs.c.
 */
#include "../unit/same_rows.h"
#include "codec/decode.h"
#include "codec/measure.h"
#include "codec/peek.h"
#include "codec/plan.h"
#include "codec/recode.h"
#include "codec/text.h"
#include "fuzz.h"
#include "pairs.h"

enum { SHOWN_MAX = 300 * 1024 };

static const struct decode_limits limits = {.max_depth = 64,
					    .max_items = 100000,
					    .max_string_bytes = 1 << 20,
					    .max_row_bytes = 1 << 22,
					    .max_key_bytes = 1 << 20};

static struct {
	struct pair pair;
	struct plan *own; /* of the reader's data */
	struct recoder *recoder;
	struct measure *measure; /* of the reader's data */
} pairs[PAIRS];

static struct decoder *decoder;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	struct err err = {0};
	for (size_t i = 0; i < PAIRS; i++) {
		struct pair *p = &pairs[i].pair;
		pair_make(p, i, NULL);
		pairs[i].own = plan_new(p->reader, p->table, &err);
		pairs[i].recoder = recoder_new(p->writer, p->reader, &limits, &err);
		if (!pairs[i].own || !pairs[i].recoder)
			give_up("schemas", err.text);
		pairs[i].measure = measure_new(p->reader);
	}
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

static void check_peek(const struct schema *writer, struct slice body)
{
	struct buf out = {0};
	peek_datum(writer, body, &out);
	check_shown(&out, SHOWN_MAX, "peek_datum");
	out.len = 0;
	peek_text(body, 100, &out);
	check_shown(&out, 1000, "peek_text");
	out.len = 0;
	peek_plain(body, &out);
	check_shown(&out, body.len, "peek_plain");
	buf_free(&out);
}

static void check_recode(size_t n, struct slice body)
{
	const struct pair *p = &pairs[n].pair;
	struct buf out = {0}, before = {0}, after = {0};
	struct record was = {0}, is = {0};
	struct err err = {0};
	size_t len = 0;
	buf_u8(&out, 'x');
	if (!recode(pairs[n].recoder, body, &out, &err)) {
		check_words(&err);
		if (out.len != 1 || err.class != ERR_POISON)
			give_up("a refusal left something, or is none of an event", err.text);
		buf_free(&out);
		return;
	}
	struct slice again = {out.data + 1, out.len - 1};
	if (!measure_datum(pairs[n].measure, again, &len, &err) || len != again.len)
		give_up("recoded to no whole datum", err.text);
	if (decode_record(decoder, p->plan, body, &before, &was, &err) &&
	    decode_record(decoder, pairs[n].own, again, &after, &is, &err) &&
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
	struct slice body = {data + 1, size - 1};
	check_peek(pairs[data[0] % PAIRS].pair.writer, body);
	check_recode(data[0] % PAIRS, body);
	return 0;
}
