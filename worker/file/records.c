/*
 * records.c - the events of a file, whatever it is.
 *
 *   input --+-- "Obj" 01: container -----------------------> datum, in the file's schema
 *           |-- a header: csv ------> jtape --> jsondatum --> datum, in the stream's schema
 *           '-- else:     lines ----> jtape --> jsondatum --> the same
 *
 * The one place that knows all formats; each of them knows nothing of the others. What an event is
 * worth (does its schema resolve, does the table take it, to which topic or row does it go) is the
 * caller's business.
 *
 * A line or row that is no event costs itself alone; a container that is damaged ends there,
 * because its place in the stream of bytes is lost. Empty lines are nothing; an empty file has no
 * events.
 *
 * Thread: the owner's. Memory: the input's window (a line, or a block), the tokens, one datum.
 */
#include "file/records.h"

#include <stdlib.h>
#include <string.h>

#include "file/container.h"
#include "file/csv.h"
#include "file/jsondatum.h"
#include "file/jtape.h"
#include "file/lines.h"

struct records {
	struct input in;
	const struct schema *reader;
	uint64_t count;              /* given or refused */
	struct container *container; /* if it is one */
	struct csv *csv;             /* if it is one; else JSON lines */
	struct lines lines;
	char *text; /* of the line of JSON */
	size_t len;
	struct jtape tape;
	struct jsondatum *json;
	struct buf datum;
	bool keeps;
	struct buf kept;   /* a copy of the line */
	struct slice last; /* the line, or the datum */
};

/* Of CSV the line where the row begins. */
static uint64_t line_of(const struct records *r)
{
	uint64_t offset;
	return r->csv ? csv_line(r->csv, &offset) : r->lines.number;
}

bool records_blame(const struct records *r, struct err *err)
{
	if (r->container)
		return err_wrap(err, "%s: record %llu", r->in.name, (unsigned long long)r->count);
	return err_wrap(err, "%s:%llu", r->in.name, (unsigned long long)line_of(r));
}

/* ---- lines ---- */

static bool is_blank(const char *text, size_t len)
{
	return strspn(text, " \t\r\n") >= len;
}

/* The next line that is not blank. */
static enum lines_result next_json(struct records *r, struct err *err)
{
	enum lines_result result;
	do {
		result = lines_next(&r->lines, &r->text, &r->len, err);
	} while (result == LINES_LINE && is_blank(r->text, r->len));
	r->last = result == LINES_LINE ? (struct slice){(const uint8_t *)r->text, r->len}
				       : (struct slice){0};
	return result;
}

/* A line of JSON or a row of CSV, as it stands in the file. */
static enum lines_result next_text(struct records *r, struct err *err)
{
	enum lines_result result = r->csv ? csv_next(r->csv, &r->last, err) : next_json(r, err);
	if (result == LINES_BROKEN)
		err_wrap(err, "%s: behind line %llu", r->in.name, (unsigned long long)line_of(r));
	r->count += result == LINES_LINE || result == LINES_BAD;
	return result;
}

static bool parse(struct records *r, struct err *err)
{
	if (r->csv)
		return csv_parse(r->csv, &r->tape, err);
	return jtape_parse(&r->tape, r->text, r->len, err) || err_wrap(err, "not JSON");
}

static enum records_result next_line(struct records *r, struct slice *datum, struct err *err)
{
	enum lines_result result = next_text(r, err);
	if (result == LINES_END || result == LINES_BROKEN)
		return result == LINES_END ? RECORDS_END : RECORDS_BROKEN;
	r->kept.len = r->datum.len = 0;
	if (r->keeps)
		buf_put(&r->kept, r->last.data, r->last.len);
	if (result == LINES_BAD || !parse(r, err) ||
	    !jsondatum_encode(r->json, &r->tape, &r->datum, err)) {
		records_blame(r, err);
		return RECORDS_BAD;
	}
	*datum = (struct slice){r->datum.data, r->datum.len};
	return RECORDS_RECORD;
}

/* ---- containers ---- */

/* What is broken stays broken: there is no next record to look for. */
static enum records_result next_datum(struct records *r, struct slice *datum, struct err *err)
{
	switch (container_next(r->container, datum, err)) {
	case CONTAINER_RECORD:
		r->count++;
		r->last = *datum;
		return RECORDS_RECORD;
	case CONTAINER_END:
		return RECORDS_END;
	case CONTAINER_BROKEN:
		break;
	}
	err_wrap(err, "%s: behind record %llu", r->in.name, (unsigned long long)r->count);
	return RECORDS_BROKEN;
}

enum records_result records_next(struct records *r, struct slice *datum, struct err *err)
{
	return r->container ? next_datum(r, datum, err) : next_line(r, datum, err);
}

/* Nothing is parsed of what is passed over, but datums, to find their ends. */
bool records_skip(struct records *r, int64_t n, struct err *err)
{
	struct slice datum;
	err_clear(err);
	for (bool more = true; n > 0 && more; n -= more) {
		if (r->container) {
			more = next_datum(r, &datum, err) == RECORDS_RECORD;
		} else {
			enum lines_result result = next_text(r, err);
			more = result == LINES_LINE || result == LINES_BAD;
		}
	}
	return n == 0;
}

struct slice records_raw(const struct records *r)
{
	return r->container ? r->last : (struct slice){r->kept.data, r->kept.len};
}

void records_keep(struct records *r)
{
	r->keeps = true;
}

uint64_t records_read(const struct records *r)
{
	return input_read(&r->in);
}

bool records_wait(const struct records *r)
{
	bool line = !r->container && memchr(r->in.p, '\n', input_has(&r->in));
	return !line && input_waits(&r->in);
}

/* ---- open and close ---- */

static bool open_container(struct records *r, struct err *err)
{
	r->container = container_open(&r->in, CONTAINER_MAX_BLOCK, err);
	return r->container || err_wrap(err, "%s", r->in.name);
}

static bool open_csv(struct records *r, const struct table *table, struct err *err)
{
	r->csv = csv_open(&r->in, LINES_MAX_BYTES, table->reader, table, err);
	return r->csv || err_wrap(err, "%s", r->in.name);
}

/* By its first bytes; its name only says that it is CSV although its header is not right. */
static bool open_format(struct records *r, const struct table *table, struct err *err)
{
	if (container_is(&r->in))
		return open_container(r, err);
	return !csv_is(&r->in, table->reader) || open_csv(r, table, err);
}

struct records *records_open(const char *path, const struct table *table, struct err *err)
{
	struct records *r = xcalloc(1, sizeof(*r));
	r->reader = table->reader;
	r->lines = (struct lines){.in = &r->in, .max = LINES_MAX_BYTES};
	r->json = jsondatum_new(table->reader, table);
	if (input_open(&r->in, path, err) && open_format(r, table, err))
		return r;
	records_close(r);
	return NULL;
}

void records_close(struct records *r)
{
	if (!r)
		return;
	container_close(r->container);
	csv_close(r->csv);
	jsondatum_free(r->json);
	jtape_free(&r->tape);
	buf_free(&r->datum);
	buf_free(&r->kept);
	input_close(&r->in);
	free(r);
}

const struct schema *records_schema(const struct records *r)
{
	return r->container ? container_schema(r->container) : r->reader;
}

/* Of the record that came last. */
struct records_place records_place(const struct records *r)
{
	struct records_place place = {.records = r->count};
	if (r->container) {
		container_block(r->container, &place.offset);
	} else if (r->csv) {
		place.line = csv_line(r->csv, &place.offset);
	} else {
		place.line = r->lines.number;
		place.offset = r->lines.offset;
	}
	return place;
}
