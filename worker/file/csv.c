/*
 * csv.c - a CSV file with a header (RFC 4180), row by row, each as a row of JSON tokens.
 *
 *   id,tags,score,embedding          object(4)
 *   m1,"{a,""b c""}",,"[1,2.5]"  ->  string id  string m1   string tags  array(2) string a string b
 * c string score null   string embedding array(2) number 1 number 2.5
 *
 * What a cell means, its column's type says, so no cell is guessed at; the values themselves are
 * jsondatum.c's matter, as are columns that the file lacks.
 *
 *   nothing           null; where that is no value, the field's default; for a string, none
 *   ""                an empty text
 *   number, moment    a number in digits, or a text as in JSON lines
 *   boolean           true, t, yes, y, on, 1 and their opposites, in any case
 *   array, vector     JSON [1, 2] or PostgreSQL's {1,2,NULL,"a b"}
 *   map, record       JSON
 *   bytes             \x6869 as PostgreSQL writes them; else one code point a byte
 *
 * The header says which character is between cells: the first of comma, semicolon and tab in it.
 * A row may go over several lines, in quotes. So a quote too many can swallow rows; a quote within
 * a cell that does not begin with one is refused, and one that is never closed ends the file,
 * because what stands behind it might be text that looks like rows.
 *
 * Memory: the window holds a row; beside it stand its lists and what was in quotes, in one piece
 * that no row outgrows. Thread: the owner's. Failure: of a row: that row alone.
 */
#include "file/csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/suggest.h"
#include "codec/text.h"
#include "file/jsondatum.h"
#include "file/number.h"

enum { MAX_NESTING = 64, PAD = 16 };

struct csv_column {
	const struct schema_field *field;
	const struct schema_type *type; /* beside null; a union of several as it is */
	bool nullable, list;            /* list: an array, or packed floats */
};

struct csv {
	struct input *in; /* borrowed */
	const struct schema_type *record;
	size_t max;
	char between; /* the cells */
	struct csv_column *columns;
	size_t ncolumns;
	uint64_t line, lines; /* where the row begins; that were read so far */
	uint64_t offset;
	struct buf beside; /* texts of the row that had to be rewritten */
	/* of one row */
	char *text;
	size_t len;
	struct jtape *tape;
	struct err *err;
};

/* ---- rows ---- */

/*
 * Where the row ends, at a line's end that is not in quotes. Asks for one byte more than there is,
 * as lines.c does. *quoted: it ends within quotes, because the file does, or it is over the limit.
 */
static bool find_end(struct csv *c, size_t *len, bool *quoted, struct err *err)
{
	size_t at = 0;
	*quoted = false;
	for (;;) {
		const uint8_t *p = c->in->p;
		size_t has = input_has(c->in);
		while (at < has) {
			const uint8_t *end = *quoted ? NULL : memchr(p + at, '\n', has - at);
			size_t upto = end ? (size_t)(end - p) : has;
			const uint8_t *mark = memchr(p + at, '"', upto - at);
			*quoted ^= mark != NULL;
			at = mark ? (size_t)(mark - p) + 1 : upto;
			*len = at;
			if (end && !mark)
				return true;
		}
		*len = has;
		if (c->in->ended || has > c->max)
			return true;
		if (!input_want(c->in, has + 1, err))
			return false;
	}
}

static size_t count_lines(const char *text, size_t len)
{
	size_t n = 0;
	for (const char *end; (end = memchr(text, '\n', len)); n++) {
		len -= (size_t)(end + 1 - text);
		text = end + 1;
	}
	return n;
}

/* A row's text, without its end, and a NUL behind it. */
static enum lines_result next_row(struct csv *c, char **text, size_t *len, struct err *err)
{
	bool quoted;
	if (!find_end(c, len, &quoted, err))
		return LINES_BROKEN;
	if (*len == 0 && input_has(c->in) == 0)
		return LINES_END;
	c->line = c->lines + 1;
	c->offset = c->in->offset;
	if (*len > c->max || quoted) {
		err_set(err, ERR_POISON, "%s",
			quoted ? "a quote that is opened in this row is not closed"
			       : "the row is too long");
		return LINES_BROKEN;
	}
	*text = (char *)c->in->p;
	input_take(c->in, *len + (*len < input_has(c->in)));
	c->lines += count_lines(*text, *len) + 1;
	(*text)[*len] = '\0';
	if (*len > 0 && (*text)[*len - 1] == '\r')
		(*text)[--*len] = '\0';
	return LINES_LINE;
}

/* ---- cells ---- */

struct cell {
	char *text; /* a NUL or what stood behind it follows */
	size_t len;
	bool quoted;
};

/* Doubled quotes become one, where they stand. Returns the place behind the closing one. */
static char *unquote(struct cell *cell, char *at, const char *end)
{
	char *to = at;
	cell->text = at;
	for (; at < end; at++) {
		if (*at == '"' && at + 1 < end && at[1] == '"')
			at++;
		else if (*at == '"')
			break;
		*to++ = *at;
	}
	cell->len = (size_t)(to - cell->text);
	return at + 1;
}

/*
 * One cell; *at moves to what stands behind it, the separator or the end. NULL, or what is wrong.
 */
static const char *next_cell(char **at, const char *end, char between, struct cell *cell)
{
	char *from = *at;
	cell->quoted = from < end && *from == '"';
	if (cell->quoted) {
		*at = unquote(cell, from + 1, end);
		return *at == end || **at == between ? NULL : "text behind a closing quote";
	}
	cell->text = from;
	while (from < end && *from != between && *from != '"')
		from++;
	cell->len = (size_t)(from - cell->text);
	*at = from;
	return from < end && *from == '"' ? "a quote in a cell that does not begin with one" : NULL;
}

/* ---- values ---- */

static bool bad(struct csv *c, const char *what)
{
	return err_set(c->err, ERR_POISON, "%s", what);
}

/* Text that can be written to, in the piece of the row; PAD zero bytes stand behind it. */
static char *set_beside(struct csv *c, const char *text, size_t len)
{
	char *copy = (char *)c->beside.data + c->beside.len;
	memcpy(copy, text, len);
	memset(copy + len, 0, PAD);
	c->beside.len += len + PAD;
	return copy;
}

static bool put_boolean(struct csv *c, const char *text, size_t len)
{
	static const char *const words[][2] = {{"true", "false"}, {"t", "f"},    {"yes", "no"},
					       {"y", "n"},        {"on", "off"}, {"1", "0"}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		for (int no = 0; no <= 1; no++) {
			if (strlen(words[i][no]) != len ||
			    strncasecmp(text, words[i][no], len) != 0)
				continue;
			jtape_add(c->tape, no ? JTOKEN_FALSE : JTOKEN_TRUE, text, 0);
			return true;
		}
	}
	return bad(c, "wants true or false");
}

/* A byte is a code point: those of 128 and more take two bytes of UTF-8, as the digits did. */
static bool put_hex(struct csv *c, const char *text, size_t len)
{
	char *copy = set_beside(c, text, len), *to = copy;
	for (size_t i = 2; i + 1 < len; i += 2) {
		int byte = hex_byte(text + i);
		if (byte < 0)
			return bad(c, "\\x with something else than hexadecimal digits behind it");
		if (byte >= 0x80)
			*to++ = (char)(0xc0 | byte >> 6);
		*to++ = (char)(byte >= 0x80 ? 0x80 | (byte & 0x3f) : byte);
	}
	if (len % 2 != 0)
		return bad(c, "\\x with an odd number of digits behind it");
	jtape_add(c->tape, JTOKEN_STRING, copy, (uint32_t)(to - copy));
	return true;
}

/* A value without parts. */
static bool put_plain(struct csv *c, const struct schema_type *t, const char *text, size_t len)
{
	bool bytes = (t->kind == SCHEMA_BYTES || t->kind == SCHEMA_FIXED) &&
		     t->logical != LOGICAL_DECIMAL;
	if (t->kind == SCHEMA_BOOLEAN)
		return put_boolean(c, text, len);
	if (bytes && len >= 2 && text[0] == '\\' && text[1] == 'x')
		return put_hex(c, text, len);
	bool words = t->kind == SCHEMA_STRING || t->kind == SCHEMA_ENUM || bytes;
	jtape_add(c->tape, !words && number_is(text, len) ? JTOKEN_NUMBER : JTOKEN_STRING, text,
		  (uint32_t)len);
	return true;
}

/* ---- PostgreSQL's arrays ---- */

/* The same with the type of an item of the list. */
static const struct schema_type *item_type(const struct schema_type *t)
{
	static const struct schema_type number = {.kind = SCHEMA_FLOAT};
	bool nullable;
	if (t->kind != SCHEMA_ARRAY)
		return &number; /* packed */
	const struct schema_type *item = schema_unwrap(t->items, &nullable);
	return item ? item : t->items;
}

static bool is_space(char x)
{
	return x == ' ' || (x >= '\t' && x <= '\r');
}

/* In quotes: a backslash makes the next character a plain one. */
static char *quoted_item(struct csv *c, char *at, const char *end)
{
	char *from = at, *to = at;
	for (; at < end && *at != '"'; at++) {
		if (*at == '\\' && at + 1 < end)
			at++;
		*to++ = *at;
	}
	if (at == end) {
		bad(c, "the quote of an item is not closed");
		return NULL;
	}
	jtape_add(c->tape, JTOKEN_STRING, from, (uint32_t)(to - from));
	return at + 1;
}

/* Without quotes: blanks around it do not count, and NULL is null. */
static char *bare_item(struct csv *c, const struct schema_type *item, char *at, const char *end)
{
	char *from = at;
	while (at < end && *at != ',' && *at != '}' && *at != '{' && *at != '"')
		at++;
	size_t len = (size_t)(at - from);
	while (len > 0 && is_space(from[len - 1]))
		len--;
	if (len == 0) {
		bad(c, "an item of the array is missing");
		return NULL;
	}
	if (len == 4 && strncasecmp(from, "null", 4) == 0)
		jtape_add(c->tape, JTOKEN_NULL, from, 0);
	else if (!put_plain(c, item, from, len))
		return NULL;
	return at;
}

/* at: behind the opening brace. Returns the place behind the closing one, or NULL. */
static char *put_braces(struct csv *c, const struct schema_type *t, char *at, const char *end,
			int depth)
{
	const struct schema_type *item = item_type(t);
	uint32_t list = c->tape->n, n = 0;
	jtape_add(c->tape, JTOKEN_ARRAY, at, 0);
	for (;; n++) {
		while (at < end && is_space(*at))
			at++;
		if (n == 0 && at < end && *at == '}')
			break;
		if (at < end && *at == '{' && depth < MAX_NESTING)
			at = put_braces(c, item, at + 1, end, depth + 1);
		else if (at < end && *at == '"')
			at = quoted_item(c, at + 1, end);
		else
			at = bare_item(c, item, at, end);
		while (at && at < end && is_space(*at))
			at++;
		if (!at || (at < end && *at == '}')) {
			n++;
			break;
		}
		if (at == end || *at++ != ',') {
			bad(c, "an array without comma or } behind an item");
			return NULL;
		}
	}
	c->tape->tokens[list].n = n;
	c->tape->tokens[list].size = c->tape->n - list;
	return at ? at + 1 : NULL;
}

static bool put_list(struct csv *c, const struct schema_type *t, const char *text, size_t len)
{
	char *copy = set_beside(c, text, len);
	const char *end = copy + len;
	if (len == 0 || *copy != '{')
		return jtape_append(c->tape, copy, len, c->err);
	char *at = put_braces(c, t, copy + 1, end, 0);
	while (at && at < end && is_space(*at))
		at++;
	return at && (at == end || bad(c, "text behind the array"));
}

/* ---- a row ---- */

/* Nothing in a cell: null, or as if the column were not there. */
static bool is_left_out(const struct csv_column *col, const struct cell *cell)
{
	return cell->len == 0 && !cell->quoted && !col->nullable &&
	       col->type->kind != SCHEMA_STRING;
}

static bool put_cell(struct csv *c, const struct csv_column *col, const struct cell *cell)
{
	jtape_add(c->tape, JTOKEN_STRING, col->field->name, (uint32_t)strlen(col->field->name));
	if (cell->len == 0 && !cell->quoted && col->nullable) {
		jtape_add(c->tape, JTOKEN_NULL, cell->text, 0);
		return true;
	}
	if (col->list)
		return put_list(c, col->type, cell->text, cell->len);
	if (col->type->kind == SCHEMA_MAP || col->type->kind == SCHEMA_RECORD)
		return jtape_append(c->tape, set_beside(c, cell->text, cell->len), cell->len,
				    c->err);
	return put_plain(c, col->type, cell->text, cell->len);
}

/* A row that has too many cells or too few is not guessed at. */
static bool put_row(struct csv *c, char *at, const char *end)
{
	struct cell cell;
	uint32_t members = 0;
	size_t i = 0;
	jtape_add(c->tape, JTOKEN_OBJECT, at, 0);
	for (;; at++, i++) {
		const char *wrong = next_cell(&at, end, c->between, &cell);
		if (wrong)
			return bad(c, wrong) || err_wrap(c->err, "cell %zu", i + 1);
		if (i < c->ncolumns && !is_left_out(&c->columns[i], &cell)) {
			members++;
			if (!put_cell(c, &c->columns[i], &cell))
				return err_wrap(c->err, "field '%s'", c->columns[i].field->name);
		}
		if (at == end)
			break;
	}
	if (i + 1 != c->ncolumns)
		return err_set(c->err, ERR_POISON, "the row has %zu cells, the header %zu", i + 1,
			       c->ncolumns);
	c->tape->tokens[0].n = members;
	c->tape->tokens[0].size = c->tape->n;
	return true;
}

static bool check_text(const char *text, size_t len, struct err *err)
{
	struct refusal why;
	return text_check_utf8((struct slice){(const uint8_t *)text, len}, &why) ||
	       err_set(err, ERR_POISON, "%s", why.text);
}

enum lines_result csv_next(struct csv *c, struct slice *row, struct err *err)
{
	enum lines_result result;
	do {
		result = next_row(c, &c->text, &c->len, err);
	} while (result == LINES_LINE && c->len == 0);
	*row = (struct slice){(const uint8_t *)c->text, c->len};
	return result;
}

/* What is set beside is each cell once at most. */
bool csv_parse(struct csv *c, struct jtape *tape, struct err *err)
{
	c->tape = tape;
	c->err = err;
	tape->n = 0;
	c->beside.len = 0;
	buf_grow(&c->beside, c->len + (c->ncolumns + 1) * PAD);
	return check_text(c->text, c->len, err) && put_row(c, c->text, c->text + c->len);
}

uint64_t csv_line(const struct csv *c, uint64_t *offset)
{
	*offset = c->offset;
	return c->line;
}

/* ---- the header ---- */

/* The first of the characters that may stand between cells. */
static char find_between(const char *text, size_t len)
{
	bool quoted = false;
	for (size_t i = 0; i < len && text[i] != '\n'; i++) {
		quoted ^= text[i] == '"';
		if (!quoted && text[i] != '\0' && strchr(",;\t", text[i]))
			return text[i];
	}
	return ',';
}

static const struct schema_field *field_of(const struct schema_type *record,
					   const struct cell *cell)
{
	for (size_t i = 0; i < record->nfields; i++)
		if (strlen(record->fields[i].name) == cell->len &&
		    memcmp(record->fields[i].name, cell->text, cell->len) == 0)
			return &record->fields[i];
	return NULL;
}

static bool no_such_field(const struct csv *c, const struct cell *cell, struct err *err)
{
	char name[81];
	snprintf(name, sizeof(name), "%.*s", (int)MIN(cell->len, 80u), cell->text);
	struct suggest near = suggest_for(name);
	for (size_t i = 0; i < c->record->nfields; i++)
		suggest_offer(&near, c->record->fields[i].name);
	return err_set(err, ERR_POISON, "the header: record %s has no field '%s'%s%s%s",
		       c->record->name, name, near.best ? "; did you mean '" : "",
		       near.best ? near.best : "", near.best ? "'?" : "");
}

/* Blanks around a name are no part of it. */
static void trim(struct cell *cell)
{
	for (; cell->len > 0 && is_space(*cell->text); cell->text++)
		cell->len--;
	while (cell->len > 0 && is_space(cell->text[cell->len - 1]))
		cell->len--;
}

static bool add_column(struct csv *c, struct cell *cell, const struct jsondatum *j, struct err *err)
{
	trim(cell);
	const struct schema_field *f = field_of(c->record, cell);
	if (!f)
		return no_such_field(c, cell, err);
	for (size_t i = 0; i < c->ncolumns; i++)
		if (c->columns[i].field == f)
			return err_set(err, ERR_POISON, "the header: column '%s' stands twice",
				       f->name);
	struct csv_column col = {.field = f};
	col.type = schema_unwrap(f->type, &col.nullable);
	for (size_t i = 0; !col.type && i < f->type->nbranches; i++)
		col.nullable |= f->type->branches[i]->kind == SCHEMA_NULL;
	col.type = col.type ? col.type : f->type;
	col.list = col.type->kind == SCHEMA_ARRAY ||
		   jsondatum_packed(j, (size_t)(f - c->record->fields));
	c->columns = xrealloc(c->columns, (c->ncolumns + 1) * sizeof(*c->columns));
	c->columns[c->ncolumns++] = col;
	return true;
}

static bool read_header(struct csv *c, const struct jsondatum *j, struct err *err)
{
	char *at;
	size_t len;
	struct cell cell;
	enum lines_result result = next_row(c, &at, &len, err);
	if (result == LINES_END)
		return err_set(err, ERR_POISON, "an empty file is no CSV file: it has no header");
	if (result != LINES_LINE || !check_text(at, len, err))
		return err_wrap(err, "the header");
	c->between = find_between(at, len);
	for (const char *end = at + len;; at++) {
		const char *wrong = next_cell(&at, end, c->between, &cell);
		if (wrong)
			return err_set(err, ERR_POISON, "the header: %s", wrong);
		if (!add_column(c, &cell, j, err))
			return false;
		if (at == end)
			return true;
	}
}

/* ---- open and close ---- */

static bool ends_in(const char *name, size_t len, const char *end)
{
	size_t n = strlen(end);
	return len >= n && strncasecmp(name + len - n, end, n) == 0;
}

/* events.csv.gz is one. */
static bool is_named_so(const char *name)
{
	static const char *const packed[] = {".gz", ".zst"}, *const ends[] = {".csv", ".tsv"};
	size_t len = strlen(name);
	for (size_t i = 0; i < ARRAY_LEN(packed); i++)
		if (ends_in(name, len, packed[i]))
			len -= strlen(packed[i]);
	return ends_in(name, len, ends[0]) || ends_in(name, len, ends[1]);
}

/* Bytes of the byte order mark that the text begins with. */
static size_t mark_of(const void *text, size_t len)
{
	static const char mark[] = "\xef\xbb\xbf";
	size_t n = sizeof(mark) - 1;
	return len >= n && memcmp(text, mark, n) == 0 ? n : 0;
}

/* On a copy: what it turns out not to be has to stand in the window as it was. */
bool csv_is(struct input *in, const struct schema *schema)
{
	struct csv c = {.in = in, .max = LINES_MAX_BYTES};
	struct cell cell;
	struct err err = {0};
	size_t len;
	bool quoted;
	if (is_named_so(in->name))
		return true;
	if (!find_end(&c, &len, &quoted, &err) || quoted)
		return false;
	size_t mark = mark_of(in->p, len);
	len -= mark;
	char *copy = xmalloc(len + 1), *at = copy;
	memcpy(copy, in->p + mark, len);
	bool is = !next_cell(&at, copy + len, find_between(copy, len), &cell);
	trim(&cell);
	is = is && field_of(schema->root, &cell);
	free(copy);
	return is;
}

struct csv *csv_open(struct input *in, size_t max, const struct schema *schema,
		     const struct table *table, struct err *err)
{
	struct csv *c = xcalloc(1, sizeof(*c));
	struct jsondatum *j = jsondatum_new(schema, table);
	c->in = in;
	c->max = max;
	c->record = schema->root;
	input_take(in, mark_of(in->p, input_has(in)));
	bool ok = read_header(c, j, err);
	jsondatum_free(j);
	if (ok)
		return c;
	csv_close(c);
	return NULL;
}

void csv_close(struct csv *c)
{
	if (!c)
		return;
	free(c->columns);
	buf_free(&c->beside);
	free(c);
}
