/*
 * codec_rig.h - schema, table, plan and decoder in one hand, for the tests of the codec.
 *
 * Schemas are written with ' for ". What goes wrong ends the test, unless a rig_try_ function says
 * otherwise.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avro_put.h"
#include "base/buf.h"
#include "codec/decode.h"
#include "codec/plan.h"
#include "codec/table.h"
#include "schema/schema.h"
#include "unit.h"

#define RIG_UNUSED __attribute__((unused))

static const struct decode_limits rig_limits = {.max_depth = 32,
						.max_items = 10000,
						.max_string_bytes = 100000,
						.max_row_bytes = 200000,
						.max_key_bytes = 2600};

RIG_UNUSED static struct schema *rig_try_schema(const char *text, struct err *err)
{
	char *json = xstrdup(text);
	for (char *p = json; *p; p++)
		if (*p == '\'')
			*p = '"';
	struct schema *s = schema_parse(json, strlen(json), err);
	free(json);
	return s;
}

RIG_UNUSED static struct schema *rig_schema(const char *text)
{
	struct err err = {0};
	struct schema *s = rig_try_schema(text, &err);
	ck_assert_msg(s, "%s", err.text);
	return s;
}

RIG_UNUSED static struct schema *rig_schema_file(const char *path)
{
	struct err err = {0};
	struct buf text = {0};
	FILE *f = fopen(path, "rb");
	ck_assert_msg(f, "%s: cannot be opened; tests run from the top of the tree", path);
	int c;
	while ((c = fgetc(f)) != EOF)
		buf_u8(&text, (uint8_t)c);
	fclose(f);
	struct schema *s = schema_parse((const char *)text.data, text.len, &err);
	ck_assert_msg(s, "%s: %s", path, err.text);
	buf_free(&text);
	return s;
}

/* One stream and one writer. */
struct rig {
	struct schema *reader, *writer;
	struct table *table;
	struct plan *plan;
	struct decoder *decoder;
	struct buf in, out;
	struct record record;
	struct err err;
};

/*
 * A record R with table t, key k (a long, the first field) and the given further fields:
 * "{'name':...},{...}".
 */
RIG_UNUSED static char *rig_record(const char *pg, const char *fields)
{
	return xasprintf("{'type':'record','name':'R','pg':{'table':'t','key':['k']%s},'fields':[{'"
			 "name':'k','type':'"
			 "long'}%s%s]}",
			 pg, *fields ? "," : "", fields);
}

RIG_UNUSED static struct schema *rig_fields(const char *pg, const char *fields)
{
	char *text = rig_record(pg, fields);
	struct schema *s = rig_schema(text);
	free(text);
	return s;
}

RIG_UNUSED static void rig_free(struct rig *r)
{
	plan_free(r->plan);
	decoder_free(r->decoder);
	table_free(r->table);
	if (r->writer != r->reader)
		schema_free(r->writer);
	schema_free(r->reader);
	buf_free(&r->in);
	buf_free(&r->out);
}

/*
 * Takes both schemas; writer NULL: written with the reader's own. False, with err, if there is no
 * plan.
 */
RIG_UNUSED static bool rig_try_open(struct rig *r, struct schema *writer, struct schema *reader)
{
	*r = (struct rig){.reader = reader, .writer = writer ? writer : reader};
	r->table = table_new(reader, &r->err);
	ck_assert_msg(r->table, "%s", r->err.text);
	r->decoder = decoder_new(&rig_limits);
	r->plan = plan_new(r->writer, r->table, &r->err);
	return r->plan != NULL;
}

RIG_UNUSED static void rig_open(struct rig *r, struct schema *writer, struct schema *reader)
{
	ck_assert_msg(rig_try_open(r, writer, reader), "%s", r->err.text);
}

RIG_UNUSED static void rig_open_fields(struct rig *r, const char *writer_fields,
				       const char *reader_fields)
{
	rig_open(r, writer_fields ? rig_fields("", writer_fields) : NULL,
		 rig_fields("", reader_fields));
}

/*
 * Decodes exactly the bytes of r->in, which end at the end of a heap block, so that a sanitizer
 * sees one byte read too many.
 */
RIG_UNUSED static bool rig_try_decode(struct rig *r)
{
	uint8_t *body = xmalloc(r->in.len + (r->in.len == 0));
	if (r->in.len > 0)
		memcpy(body, r->in.data, r->in.len);
	r->out.len = 0;
	buf_puts(&r->out, "before");
	bool ok = decode_record(r->decoder, r->plan, (struct slice){body, r->in.len}, &r->out,
				&r->record, &r->err);
	free(body);
	if (!ok) {
		ck_assert_uint_eq(r->out.len, 6);
		ck_assert_int_eq(r->err.class, ERR_POISON);
	}
	ck_assert(memcmp(r->out.data, "before", 6) == 0);
	return ok;
}

RIG_UNUSED static void rig_decode(struct rig *r)
{
	ck_assert_msg(rig_try_decode(r), "%s", r->err.text);
	ck_assert_uint_eq(r->record.row_len, r->out.len - 6);
}

/* The datum is refused for that reason, with a text that holds words. */
RIG_UNUSED static void rig_refused(struct rig *r, enum dead_reason reason, const char *words)
{
	ck_assert_msg(!rig_try_decode(r), "taken, but it should be refused: %s", words);
	ck_assert_msg(r->record.reason == reason, "reason %s, text %s",
		      dead_reason_name(r->record.reason), r->err.text);
	ck_assert_msg(strstr(r->err.text, words), "'%s' lacks '%s'", r->err.text, words);
}

/* One field f of that type and annotation, written as it is read; the datum begins with the key. */
RIG_UNUSED static void rig_open_one(struct rig *r, const char *type, const char *pg)
{
	char *fields = xasprintf("{'name':'f','type':%s%s%s}", type, *pg ? ",'pg':" : "", pg);
	rig_open_fields(r, NULL, fields);
	free(fields);
	avro_long(&r->in, 1);
}

/* A new datum, which begins with the key. */
RIG_UNUSED static void rig_start(struct rig *r)
{
	r->in.len = 0;
	avro_long(&r->in, 1);
}

/* Field i of the row; data NULL for null. */
RIG_UNUSED static struct slice rig_field(const struct rig *r, size_t i)
{
	size_t at = 6;
	for (;; i--) {
		ck_assert_uint_le(at + 4, r->out.len);
		uint32_t len = get_be32(r->out.data + at);
		at += 4;
		if (i == 0)
			return (struct slice){len == UINT32_MAX ? NULL : r->out.data + at,
					      len == UINT32_MAX ? 0 : len};
		at += len == UINT32_MAX ? 0 : len;
	}
}

RIG_UNUSED static void rig_is_null(const struct rig *r, size_t i)
{
	ck_assert_ptr_null(rig_field(r, i).data);
}

RIG_UNUSED static int64_t rig_int(const struct rig *r, size_t i)
{
	struct slice f = rig_field(r, i);
	ck_assert_ptr_nonnull(f.data);
	if (f.len == 2)
		return (int16_t)get_be16(f.data);
	if (f.len == 4)
		return (int32_t)get_be32(f.data);
	ck_assert_uint_eq(f.len, 8);
	return (int64_t)get_be64(f.data);
}

RIG_UNUSED static double rig_real(const struct rig *r, size_t i)
{
	struct slice f = rig_field(r, i);
	ck_assert_ptr_nonnull(f.data);
	if (f.len == 4) {
		uint32_t bits = get_be32(f.data);
		float v;
		memcpy(&v, &bits, sizeof(v));
		return (double)v;
	}
	ck_assert_uint_eq(f.len, 8);
	uint64_t bits = get_be64(f.data);
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

RIG_UNUSED static void rig_text(const struct rig *r, size_t i, const char *want)
{
	struct slice f = rig_field(r, i);
	ck_assert_msg(f.data && f.len == strlen(want) && memcmp(f.data, want, f.len) == 0,
		      "field %zu is '%.*s', not '%s'", i, (int)f.len, (const char *)f.data, want);
}

/* jsonb: its version, then text; ' for " in want. */
RIG_UNUSED static void rig_json(const struct rig *r, size_t i, const char *want)
{
	struct slice f = rig_field(r, i);
	char *text = xstrdup(want);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	ck_assert_ptr_nonnull(f.data);
	ck_assert_int_eq(f.data[0], 1);
	ck_assert_msg(f.len - 1 == strlen(text) && memcmp(f.data + 1, text, f.len - 1) == 0,
		      "field %zu is %.*s, not %s", i, (int)f.len - 1, (const char *)f.data + 1,
		      text);
	free(text);
}

/* The vector 0, 0.5, 1, ... of n elements. */
RIG_UNUSED static void rig_vector(const struct rig *r, size_t field, size_t n)
{
	struct slice v = rig_field(r, field);
	ck_assert_uint_eq(v.len, 4 + 4 * n);
	ck_assert_uint_eq(get_be16(v.data), n);
	ck_assert_uint_eq(get_be16(v.data + 2), 0);
	for (size_t i = 0; i < n; i++) {
		uint32_t bits = get_be32(v.data + 4 + 4 * i);
		float f;
		memcpy(&f, &bits, sizeof(f));
		ck_assert_double_eq((double)f, (double)i / 2);
	}
}
