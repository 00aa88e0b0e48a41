/*
 * fuzz_records.c - any bytes as a file of events, as "produce --file" and "check --event" read it:
 * JSON lines or a container, plain or packed.
 *
 *   input: one byte picks the stream, the rest is the file
 *
 * What comes out is a whole datum of records_schema(), and so is what it is recoded to, of the
 * stream's own schema, which the stream's own plan then reads without one fault of the bytes. What
 * is bad has a reason that begins with the file's name, and the reader ends.
 */
#include "codec/measure.h"
#include "codec/plan.h"
#include "codec/recode.h"
#include "file/records.h"
#include "fuzz.h"
#include "schema/schema.h"

static const struct decode_limits limits = {.max_depth = 64,
					    .max_items = 100000,
					    .max_string_bytes = 1 << 20,
					    .max_row_bytes = 1 << 22,
					    .max_key_bytes = 1 << 20};

static struct stream {
	const char *path;
	struct schema *schema;
	struct table *table;
	struct plan *plan;
	struct measure *measure;
} streams[] = {{.path = "tests/schemas/everything.avsc"},
	       {.path = "schemas/memory_event.avsc"},
	       {.path = "tests/schemas/ledger_event.avsc"}};

static struct decoder *decoder;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	struct err err = {0};
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		struct stream *s = &streams[i];
		s->schema = schema_read(s->path, &err);
		s->table = s->schema ? table_new(s->schema, &err) : NULL;
		s->plan = s->table ? plan_new(s->schema, s->table, &err) : NULL;
		if (!s->plan)
			give_up(s->path, err.text);
		s->measure = measure_new(s->schema);
	}
	decoder = decoder_new(&limits);
	return 0;
}

static void check_whole(const struct measure *m, struct slice datum, const char *what)
{
	struct err err = {0};
	size_t len = 0;
	if (!measure_datum(m, datum, &len, &err) || len != datum.len)
		give_up(what, err.text);
}

/* What the table cannot hold is refused; of bytes that cannot be read there are none. */
static void check_row(const struct stream *s, struct slice datum)
{
	struct buf row = {0};
	struct record record = {0};
	struct err err = {0};
	if (!decode_record(decoder, s->plan, datum, &row, &record, &err) &&
	    record.reason == REASON_DECODE)
		give_up("what was recoded cannot be read", err.text);
	buf_free(&row);
}

struct reading {
	const struct stream *s;
	struct measure *file; /* of the file's own schema */
	struct recoder *to;   /* NULL: it does not resolve */
	struct buf out;
};

static void check_datum(struct reading *r, struct slice datum)
{
	struct err err = {0};
	check_whole(r->file, datum, "no whole datum");
	r->out.len = 0;
	if (!r->to || !recode(r->to, datum, &r->out, &err))
		return;
	check_whole(r->s->measure, (struct slice){r->out.data, r->out.len}, "recoded");
	check_row(r->s, (struct slice){r->out.data, r->out.len});
}

static void check_bad(const struct err *err, const char *path)
{
	check_words(err);
	if (err->class != ERR_POISON || strncmp(err->text, path, strlen(path)) != 0)
		give_up("of another class, or without its place", err->text);
}

static void read_all(struct reading *r, struct records *records, const char *path)
{
	for (int n = 0; n < 1000; n++) {
		struct slice datum = {0};
		struct err err = {0};
		switch (records_next(records, &datum, &err)) {
		case RECORDS_RECORD:
			check_datum(r, datum);
			break;
		case RECORDS_BAD:
			check_bad(&err, path);
			break;
		case RECORDS_BROKEN:
			check_bad(&err, path);
			return;
		case RECORDS_END:
			return;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = {0};
	if (size < 1)
		return 0;
	const struct stream *s = &streams[data[0] % ARRAY_LEN(streams)];
	struct fuzz_file f = fuzz_file(data + 1, size - 1);
	struct records *records = records_open(f.path, s->table, &err);
	if (records) {
		struct reading r = {.s = s, .file = measure_new(records_schema(records))};
		r.to = recoder_new(records_schema(records), s->schema, &limits, &err);
		read_all(&r, records, f.path);
		recoder_free(r.to);
		measure_free(r.file);
		buf_free(&r.out);
	} else {
		check_bad(&err, f.path);
	}
	records_close(records);
	close(f.fd);
	return 0;
}
