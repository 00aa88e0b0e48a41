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
	struct jtape tape;
	struct jsondatum *json;
	struct buf datum;
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

/* The tokens of a line of JSON; blank ones are nothing. */
static enum lines_result next_json(struct records *r, struct err *err)
{
	char *text = NULL;
	size_t len = 0;
	enum lines_result result;
	do {
		result = lines_next(&r->lines, &text, &len, err);
	} while (result == LINES_LINE && is_blank(text, len));
	if (result != LINES_LINE || jtape_parse(&r->tape, text, len, err))
		return result;
	err_wrap(err, "not JSON");
	return LINES_BAD;
}

/* A line of JSON, or a row of CSV. */
static enum records_result next_line(struct records *r, struct slice *datum, struct err *err)
{
	enum lines_result result = r->csv ? csv_next(r->csv, &r->tape, err) : next_json(r, err);
	if (result == LINES_END)
		return RECORDS_END;
	if (result == LINES_BROKEN) {
		err_wrap(err, "%s: behind line %llu", r->in.name, (unsigned long long)line_of(r));
		return RECORDS_BROKEN;
	}
	r->count++;
	r->datum.len = 0;
	if (result == LINES_BAD || !jsondatum_encode(r->json, &r->tape, &r->datum, err)) {
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
