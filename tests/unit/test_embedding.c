/*
 * test_embedding.c - vectors in each form that they come in and go into, and what is wrong with
 * them.
 */
#include <math.h>

#include "codec/vector.h"
#include "codec_rig.h"
#include "core/batch.h"
#include "core/stream.h"

/*
 * An array of float in one block, in several, with sizes, and of double and int: the same vector.
 */
START_TEST(vector_arrays)
{
	struct rig r;
	rig_open_one(&r, "{'type':'array','items':'float'}", "{'type':'vector(19)'}");
	avro_floats(&r.in, 19);
	rig_decode(&r);
	rig_vector(&r, 1, 19);
	rig_start(&r);
	for (int i = 0, n; i < 19; i += n) { /* blocks of 1, 2, 3, ... some with their size */
		n = i < 3 ? i + 1 : 19 - i;
		avro_long(&r.in, i == 1 ? n : -n);
		if (i != 1)
			avro_long(&r.in, 4 * n);
		for (int k = 0; k < n; k++)
			avro_float(&r.in, (float)(i + k) / 2);
	}
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_vector(&r, 1, 19);
	rig_free(&r);
	rig_open_one(&r, "['null',{'type':'array','items':'double'}]", "{'type':'vector'}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 5);
	for (int i = 0; i < 5; i++)
		avro_double(&r.in, i / 2.0);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_vector(&r, 1, 5);
	rig_start(&r);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_is_null(&r, 1);
	rig_free(&r);
	rig_open_fields(
		&r, "{'name':'f','type':{'type':'array','items':'int'}}",
		"{'name':'f','type':{'type':'array','items':'float'},'pg':{'type':'vector(1)'}}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_vector(&r, 1, 1);
	rig_free(&r);
}
END_TEST

/* bytes and fixed of packed floats; halfvec; real[]; and a type that is staged as real[]. */
START_TEST(vector_forms)
{
	struct rig r;
	static const float f[] = {0, 0.5f, 1};
	rig_open_one(&r, "'bytes'", "{'type':'vector(3)'}");
	avro_bytes(&r.in, f, sizeof(f));
	rig_decode(&r);
	rig_vector(&r, 1, 3);
	rig_start(&r);
	avro_bytes(&r.in, f, sizeof(f) - 1);
	rig_refused(&r, REASON_INVALID_EMBEDDING, "11 bytes are no whole number of floats");
	rig_free(&r);
	rig_open_one(&r, "{'type':'fixed','name':'F','size':12}", "{'type':'vector(3)'}");
	buf_put(&r.in, f, sizeof(f));
	rig_decode(&r);
	rig_vector(&r, 1, 3);
	rig_free(&r);
	rig_open_one(&r, "{'type':'array','items':'float'}", "{'type':'halfvec(3)'}");
	avro_floats(&r.in, 3);
	rig_decode(&r);
	ck_assert(memcmp(rig_field(&r, 1).data, "\0\3\0\0\0\0\x38\0\x3c\0", 10) == 0);
	rig_free(&r);
	static const char *const reals[] = {"", "{'type':'vector(3)','via':'real[]'}",
					    "{'type':'my_vector','via':'real[]'}"};
	for (size_t i = 0; i < ARRAY_LEN(reals); i++) {
		rig_open_one(&r, "{'type':'array','items':'float'}", reals[i]);
		avro_floats(&r.in, 3);
		rig_decode(&r);
		struct slice one = rig_field(&r, 1);
		ck_assert_uint_eq(one.len, 20 + 3 * 8);
		uint8_t kept[44];
		memcpy(kept, one.data, one.len);
		rig_start(&r);
		for (int k = 0; k < 3; k++) { /* one block each */
			avro_long(&r.in, 1);
			avro_float(&r.in, f[k]);
		}
		avro_long(&r.in, 0);
		rig_decode(&r);
		ck_assert_uint_eq(rig_field(&r, 1).len, 44);
		ck_assert(memcmp(kept, rig_field(&r, 1).data, 44) == 0);
		rig_free(&r);
	}
}
END_TEST

static const struct {
	const char *type, *pg;
} vector_kinds[] = {
	{"{'type':'array','items':'float'}", "{'type':'vector(3)'}"},
	{"{'type':'array','items':'float'}", "{'type':'halfvec(3)'}"},
	{"{'type':'array','items':'float'}", "{'type':'vector(3)','via':'real[]'}"},
	{"'bytes'", "{'type':'vector(3)'}"},
	{"'bytes'", "{'type':'vector(3)','via':'real[]'}"},
};

static void put_vector(struct rig *r, size_t kind, const float *f, size_t n, size_t block)
{
	rig_start(r);
	if (kind >= 3) {
		avro_bytes(&r->in, f, n * sizeof(*f));
		return;
	}
	for (size_t i = 0; i < n; i += block) {
		avro_long(&r->in, (int64_t)MIN(block, n - i));
		buf_put(&r->in, f + i, MIN(block, n - i) * sizeof(*f));
	}
	avro_long(&r->in, 0);
}

/* Wrong dimension, NaN, infinity: refused in each form, with the found and the wanted. */
START_TEST(vector_faults)
{
	static const float good[] = {1, 2, 3, 4};
	static const float bad[][3] = {
		{NAN, 0, 0}, {0, 0, NAN}, {0, INFINITY, 0}, {0, 0, -INFINITY}};
	for (size_t kind = 0; kind < ARRAY_LEN(vector_kinds); kind++) {
		struct rig r;
		rig_open_one(&r, vector_kinds[kind].type, vector_kinds[kind].pg);
		for (size_t block = 1; block <= 4; block += 3) {
			put_vector(&r, kind, good, 3, block);
			rig_decode(&r);
			for (size_t n = 0; n <= 4; n++) {
				if (n == 3)
					continue;
				char found[20];
				put_vector(&r, kind, good, n, block);
				snprintf(found, sizeof(found), "%zu", n);
				rig_refused(&r, REASON_INVALID_EMBEDDING, found);
				ck_assert_ptr_nonnull(strstr(r.err.text, "3"));
			}
			for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
				put_vector(&r, kind, bad[i], 3, block);
				rig_refused(&r, REASON_INVALID_EMBEDDING, "field 'f' at byte 1");
			}
		}
		rig_free(&r);
	}
	struct rig r;
	rig_open_one(&r, "{'type':'array','items':'double'}", "{'type':'vector(1)'}");
	avro_long(&r.in, 1);
	avro_double(&r.in, 1e39);
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_INVALID_EMBEDDING, "field 'f'");
	rig_free(&r);
}
END_TEST

/* A vector of every length around the width of a vector register, with a NaN in each place. */
START_TEST(vector_lengths)
{
	float f[70];
	struct rig r;
	rig_open_one(&r, "{'type':'array','items':'float'}", "{'type':'vector'}");
	for (size_t n = 1; n <= ARRAY_LEN(f); n++) {
		for (size_t i = 0; i < n; i++)
			f[i] = (float)i / 2;
		put_vector(&r, 0, f, n, n);
		rig_decode(&r);
		rig_vector(&r, 1, n);
		for (size_t bad = 0; bad < n; bad++) {
			f[bad] = NAN;
			put_vector(&r, 0, f, n, n);
			rig_refused(&r, REASON_INVALID_EMBEDDING, "field 'f'");
			f[bad] = (float)bad / 2;
		}
	}
	rig_free(&r);
}
END_TEST

#define TEXT "{'name':'v','type':['null','string'],'default':null}"
#define MADE                                                                                       \
	"{'name':'e','type':['null',{'type':'array','items':'float'}],'default':null,'pg':{"       \
	"'type':'vector(3)','embed':{'from':'v','model':'m'}}}"
#define LAST "{'name':'z','type':'string'}"

/* One datum of key 1, with text (NULL: none), perhaps a vector 0, 0.5, 1, and "end". */
static void put_datum(struct rig *r, const char *text, bool vector, bool text_first)
{
	rig_start(r);
	for (int i = 0; i < 2; i++) {
		if (text_first == (i == 0)) {
			avro_long(&r->in, text != NULL);
			if (text)
				avro_string(&r->in, text);
		} else {
			avro_long(&r->in, vector);
			if (vector)
				avro_floats(&r->in, 3);
		}
	}
	avro_string(&r->in, "end");
}

/*
 * A vector that is to be made of a text has its full place in the row, wherever its text stands; no
 * text, an empty one, or a vector that came, and none is wanted.
 */
START_TEST(wanted)
{
	for (int text_first = 0; text_first < 2; text_first++) {
		struct rig r;
		size_t v = text_first ? 1 : 2, e = text_first ? 2 : 1;
		rig_open_fields(&r, NULL,
				text_first ? TEXT "," MADE "," LAST : MADE "," TEXT "," LAST);
		put_datum(&r, "some text", false, text_first);
		rig_decode(&r);
		rig_text(&r, v, "some text");
		rig_text(&r, 3, "end");
		ck_assert_uint_eq(rig_field(&r, e).len, 4 + 4 * 3);
		ck_assert_ptr_eq(r.out.data + 6 + r.record.wants[0].vector_at + 4,
				 rig_field(&r, e).data);
		ck_assert_ptr_eq(r.out.data + 6 + r.record.wants[0].text_at + 4,
				 rig_field(&r, v).data);
		put_datum(&r, "", false, text_first);
		rig_decode(&r);
		rig_is_null(&r, e);
		ck_assert_uint_eq(r.record.nwants, 0);
		put_datum(&r, NULL, false, text_first);
		rig_decode(&r);
		rig_is_null(&r, e);
		rig_is_null(&r, v);
		ck_assert_uint_eq(r.record.nwants, 0);
		put_datum(&r, "some text", true, text_first);
		rig_decode(&r);
		rig_vector(&r, e, 3);
		ck_assert_uint_eq(r.record.nwants, 0);
		rig_free(&r);
	}
}
END_TEST

/* In a batch the vector is filled in, or becomes NULL, and no other row or field changes. */
START_TEST(filled)
{
	static const uint8_t vector[12] = {0, 0, 0, 0, 0x3f, 0, 0, 0, 0x3f, 0x80, 0, 0};
	struct rig r;
	rig_open_fields(&r, NULL, MADE "," TEXT "," LAST);
	struct stream stream = {.table = r.table};
	struct batch *b = batch_new(8, 4096);
	b->stream = &stream;
	uint32_t span = batch_span(b, "t", 0, NULL, 0, 1);
	put_datum(&r, "some text", false, false);
	for (int i = 0; i < 3; i++) {
		ck_assert(decode_record(r.decoder, r.plan, (struct slice){r.in.data, r.in.len},
					&b->rows, &r.record, &r.err));
		batch_add(b, span, i, -1, &r.record);
	}
	ck_assert_uint_eq(b->nwants, 3);
	struct slice text = batch_text(b, 1);
	ck_assert(text.len == 9 && memcmp(text.data, "some text", 9) == 0);
	ck_assert(batch_embed(b, 0, vector));
	ck_assert(batch_embed(b, 1, NULL));
	ck_assert(batch_embed(b, 2, vector));
	ck_assert_uint_eq(b->nopen, 0);
	for (int i = 0; i < 3; i++) {
		r.out.len = 0;
		buf_puts(&r.out, "before");
		buf_put(&r.out, b->rows.data + b->events[i].row, b->events[i].row_len);
		rig_text(&r, 2, "some text");
		rig_text(&r, 3, "end");
		if (i == 1)
			rig_is_null(&r, 1);
		else
			rig_vector(&r, 1, 3);
	}
	batch_free(b);
	rig_free(&r);
}
END_TEST

#define OTHER                                                                                      \
	"{'name':'o','type':['null',{'type':'array','items':'float'}],'default':null,'pg':{"       \
	"'type':'halfvec(2)','embed':{'from':'v','model':'other'}}}"

/* The row of that event as it would be copied, for the rig's eyes. */
static void look_at_row(struct rig *r, const struct batch *b, size_t event)
{
	r->out.len = 0;
	buf_puts(&r->out, "before");
	buf_put(&r->out, b->rows.data + b->events[event].row, b->events[event].row_len);
}

static void expect_text(const struct batch *b, size_t want, const char *words)
{
	struct slice text = batch_text(b, want);
	ck_assert(text.len == strlen(words) && memcmp(text.data, words, text.len) == 0);
}

/*
 * Two vectors of one text, which stands between them, each filled or NULL, in either order: the
 * text does not move before both are settled, and each number lands in its own column.
 */
START_TEST(two_filled)
{
	static const uint8_t vector[12] = {0, 0, 0, 0, 0x3f, 0, 0, 0, 0x3f, 0x80, 0, 0};
	static const uint8_t ones[8] = {0x3f, 0x80, 0, 0, 0x3f, 0x80, 0, 0};
	for (int how = 0; how < 8; how++) {
		bool first_null = how & 1, second_null = how & 2, backwards = how & 4;
		struct rig r;
		rig_open_fields(&r, NULL, MADE "," TEXT "," OTHER "," LAST);
		struct stream stream = {.table = r.table};
		struct batch *b = batch_new(8, 4096);
		b->stream = &stream;
		uint32_t span = batch_span(b, "t", 0, NULL, 0, 1);
		rig_start(&r);
		avro_long(&r.in, 0);
		avro_long(&r.in, 1);
		avro_string(&r.in, "some text");
		avro_long(&r.in, 0);
		avro_string(&r.in, "end");
		for (int i = 0; i < 2; i++) {
			ck_assert(decode_record(r.decoder, r.plan,
						(struct slice){r.in.data, r.in.len}, &b->rows,
						&r.record, &r.err));
			batch_add(b, span, i, -1, &r.record);
		}
		ck_assert_uint_eq(b->nopen, 4);
		for (int i = 0; i < 2; i++) {
			size_t want = i == backwards ? 2 : 3;
			expect_text(b, want, "some text");
			ck_assert(batch_embed(b, want,
					      want == 2     ? first_null ? NULL : vector
					      : second_null ? NULL
							    : ones));
		}
		ck_assert_uint_eq(b->nopen, 2);
		expect_text(b, 0, "some text");
		look_at_row(&r, b, 1);
		rig_text(&r, 2, "some text");
		rig_text(&r, 4, "end");
		if (first_null)
			rig_is_null(&r, 1);
		else
			rig_vector(&r, 1, 3);
		if (second_null)
			rig_is_null(&r, 3);
		else
			ck_assert(memcmp(rig_field(&r, 3).data, "\0\2\0\0\x3c\0\x3c\0", 8) == 0);
		batch_free(b);
		rig_free(&r);
	}
}
END_TEST

/* A number that a halfvec can not hold leaves the event as it was. */
START_TEST(half_filled)
{
	static const uint8_t fits[4] = {0x3f, 0x80, 0, 0}, large[4] = {0x49, 0x74, 0x24, 0};
	const struct column c = {.kind = PG_HALFVEC, .dim = 1};
	uint8_t field[10] = {0};
	ck_assert_uint_eq(vector_field_size(&c), sizeof(field));
	ck_assert(vector_fill(field, &c, fits));
	ck_assert_uint_eq(get_be16(field + 8), 0x3c00);
	ck_assert(!vector_fill(field, &c, large));
}
END_TEST

static Suite *embedding_suite(void)
{
	Suite *s = suite_create("embedding");
	TCase *t = tcase_create("embedding");
	tcase_add_test(t, vector_arrays);
	tcase_add_test(t, wanted);
	tcase_add_test(t, filled);
	tcase_add_test(t, two_filled);
	tcase_add_test(t, half_filled);
	tcase_add_test(t, vector_forms);
	tcase_add_test(t, vector_faults);
	tcase_add_test(t, vector_lengths);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(embedding_suite)
