/*
 * event.c - Avro binary encoding by recursion over the schema's JSON (Avro 1.11 specification,
 * "Binary Encoding").
 *
 * struct codec carries the schema's root, in which names are looked up: a reference ("Name" or
 * "ns.Name") is resolved by walking the root for the definition with that last part, which is
 * enough for the schemas of tests (no two types of one name).
 *
 *   reading:  in.data .. in.data + in.len shrinks from the left; any read past it fails the whole
 *             datum
 *   writing:  out grows; on failure it is left as it is, the caller throws it away
 *
 * Depth is bounded by MAX_DEPTH and items by the bytes that are left, so no input can hurt the
 * tests.
 */
#include "event.h"

#include <check.h>
#include <math.h>
#include <string.h>

#define MAX_DEPTH 40

struct codec {
	json_t *root;
	struct slice in;
	struct buf *out;
	int depth;
	bool bad_text;
};

static json_t *read_value(struct codec *c, json_t *type);
static bool write_value(struct codec *c, json_t *type, json_t *value);

json_t *event_schema(const char *path)
{
	json_error_t error;
	json_t *schema = json_load_file(path, JSON_ALLOW_NUL, &error);
	ck_assert_msg(schema != NULL, "%s:%d: %s", path, error.line, error.text);
	return schema;
}

/* --- types --- */

static const char *kind_of(json_t *type)
{
	if (json_is_array(type))
		return "union";
	if (json_is_object(type)) {
		json_t *inner = json_object_get(type, "type");
		return json_is_string(inner) ? json_string_value(inner) : kind_of(inner);
	}
	return json_is_string(type) ? json_string_value(type) : "?";
}

static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');
	return dot ? dot + 1 : name;
}

/* The definition of a named type anywhere below "in", borrowed. */
static json_t *find_named(json_t *in, const char *name)
{
	json_t *found = NULL, *child;
	size_t i;
	const char *key, *own = json_string_value(json_object_get(in, "name"));
	if (own && strcmp(last_part(own), name) == 0 &&
	    !json_is_null(json_object_get(in, "type")) &&
	    (json_object_get(in, "fields") || json_object_get(in, "symbols") ||
	     json_object_get(in, "size")))
		return in;
	if (json_is_array(in)) {
		json_array_foreach (in, i, child) {
			if (!found)
				found = find_named(child, name);
		}
	} else if (json_is_object(in)) {
		json_object_foreach (in, key, child) {
			if (!found && strcmp(key, "default") != 0)
				found = find_named(child, name);
		}
	}
	return found;
}

static bool is_primitive(const char *kind)
{
	static const char *const names[] = {"null",   "boolean", "int",    "long",   "float",
					    "double", "bytes",   "string", "record", "enum",
					    "array",  "map",     "fixed",  "union"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(kind, names[i]) == 0)
			return true;
	}
	return false;
}

/*
 * The type itself, a wrapper {"type": {...}} opened and a reference by name resolved; NULL if
 * unknown.
 */
static json_t *resolve(struct codec *c, json_t *type)
{
	while (json_is_object(type) && !json_is_string(json_object_get(type, "type")))
		type = json_object_get(type, "type");
	const char *kind = type ? kind_of(type) : "?";
	return is_primitive(kind) ? type : find_named(c->root, last_part(kind));
}

/* --- reading --- */

static bool read_long(struct codec *c, int64_t *out)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64 && c->in.len > 0; shift += 7) {
		uint8_t b = c->in.data[0];
		c->in.data++;
		c->in.len--;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80) {
			*out = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
			return true;
		}
	}
	return false;
}

static bool read_bytes(struct codec *c, size_t n, const uint8_t **p)
{
	if (n > c->in.len)
		return false;
	*p = c->in.data;
	c->in.data += n;
	c->in.len -= n;
	return true;
}

/* One string of code points 0 to 255. */
static json_t *latin1(const uint8_t *p, size_t n)
{
	struct buf text = {0};
	for (size_t i = 0; i < n; i++) {
		if (p[i] < 0x80) {
			buf_u8(&text, p[i]);
		} else {
			buf_u8(&text, (uint8_t)(0xc0 | p[i] >> 6));
			buf_u8(&text, (uint8_t)(0x80 | (p[i] & 0x3f)));
		}
	}
	json_t *s = json_stringn(n ? (const char *)text.data : "", text.len);
	buf_free(&text);
	return s;
}

static json_t *read_string(struct codec *c, bool text)
{
	int64_t n;
	const uint8_t *p;
	if (!read_long(c, &n) || n < 0 || !read_bytes(c, (size_t)n, &p))
		return NULL;
	json_t *s = text ? json_stringn((const char *)p, (size_t)n) : latin1(p, (size_t)n);
	if (s)
		return s;
	c->bad_text = true;
	return json_string("");
}

static json_t *read_real(struct codec *c, bool wide)
{
	const uint8_t *p;
	float f;
	double d;
	if (!read_bytes(c, wide ? sizeof(d) : sizeof(f), &p))
		return NULL;
	if (wide) {
		memcpy(&d, p, sizeof(d));
	} else {
		memcpy(&f, p, sizeof(f));
		d = (double)f;
	}
	/*
	 * JSON knows neither NaN nor infinity; a word stands for them, and the model takes it for
	 * what is wrong.
	 */
	return isfinite(d) ? json_real(d) : json_string("not finite");
}

static json_t *read_record(struct codec *c, json_t *type)
{
	json_t *record = json_object(), *field;
	size_t i;
	json_array_foreach (json_object_get(type, "fields"), i, field) {
		json_t *v = read_value(c, json_object_get(field, "type"));
		if (!v ||
		    json_object_set_new(record, json_string_value(json_object_get(field, "name")),
					v) != 0) {
			json_decref(record);
			return NULL;
		}
	}
	return record;
}

static bool read_item(struct codec *c, json_t *type, bool map, json_t *into)
{
	json_t *key = map ? read_string(c, true) : NULL;
	if (map && !key)
		return false;
	json_t *v = read_value(c, json_object_get(type, map ? "values" : "items"));
	bool ok = v && (map ? json_object_set_new(into, json_string_value(key), v)
			    : json_array_append_new(into, v)) == 0;
	json_decref(key);
	return ok;
}

static json_t *read_blocks(struct codec *c, json_t *type, bool map)
{
	json_t *into = map ? json_object() : json_array();
	for (;;) {
		int64_t count, size;
		if (!read_long(c, &count) || count == INT64_MIN ||
		    (count < 0 && !read_long(c, &size)))
			break;
		if (count == 0)
			return into;
		count = count < 0 ? -count : count;
		if ((uint64_t)count > c->in.len)
			break;
		while (count > 0 && read_item(c, type, map, into))
			count--;
		if (count > 0)
			break;
	}
	json_decref(into);
	return NULL;
}

static json_t *read_indexed(struct codec *c, json_t *of, bool symbol)
{
	int64_t i;
	if (!read_long(c, &i) || i < 0 || (size_t)i >= json_array_size(of))
		return NULL;
	json_t *at = json_array_get(of, (size_t)i);
	return symbol ? json_incref(at) : read_value(c, at);
}

static json_t *read_number(struct codec *c, bool wide)
{
	int64_t v;
	if (!read_long(c, &v) || (!wide && (v < INT32_MIN || v > INT32_MAX)))
		return NULL;
	return json_integer(v);
}

static json_t *read_resolved(struct codec *c, json_t *type)
{
	const char *kind = kind_of(type);
	const uint8_t *p;
	if (strcmp(kind, "null") == 0)
		return json_null();
	if (strcmp(kind, "boolean") == 0)
		return read_bytes(c, 1, &p) && *p < 2 ? json_boolean(*p) : NULL;
	if (strcmp(kind, "int") == 0 || strcmp(kind, "long") == 0)
		return read_number(c, kind[0] == 'l');
	if (strcmp(kind, "float") == 0 || strcmp(kind, "double") == 0)
		return read_real(c, kind[0] == 'd');
	if (strcmp(kind, "string") == 0 || strcmp(kind, "bytes") == 0)
		return read_string(c, kind[0] == 's');
	if (strcmp(kind, "fixed") == 0) {
		size_t n = (size_t)json_integer_value(json_object_get(type, "size"));
		return read_bytes(c, n, &p) ? latin1(p, n) : NULL;
	}
	if (strcmp(kind, "enum") == 0)
		return read_indexed(c, json_object_get(type, "symbols"), true);
	if (strcmp(kind, "union") == 0)
		return read_indexed(c, type, false);
	if (strcmp(kind, "record") == 0)
		return read_record(c, type);
	return read_blocks(c, type, strcmp(kind, "map") == 0);
}

static json_t *read_value(struct codec *c, json_t *type)
{
	type = resolve(c, type);
	if (!type || c->depth >= MAX_DEPTH)
		return NULL;
	c->depth++;
	json_t *v = read_resolved(c, type);
	c->depth--;
	return v;
}

json_t *event_decode(json_t *schema, struct slice body, bool *bad_text)
{
	struct codec c = {.root = schema, .in = body};
	json_t *v = read_value(&c, schema);
	*bad_text = c.bad_text;
	if (v && c.in.len > 0) {
		json_decref(v);
		v = NULL;
	}
	return v;
}

/* --- writing --- */

static void write_long(struct codec *c, int64_t n)
{
	uint64_t v = ((uint64_t)n << 1) ^ (uint64_t)(n >> 63);
	for (; v > 0x7f; v >>= 7)
		buf_u8(c->out, (uint8_t)(v | 0x80));
	buf_u8(c->out, (uint8_t)v);
}

static bool write_text(struct codec *c, json_t *value)
{
	if (!json_is_string(value))
		return false;
	write_long(c, (int64_t)json_string_length(value));
	buf_put(c->out, json_string_value(value), json_string_length(value));
	return true;
}

static bool write_latin1(struct codec *c, json_t *value, bool counted)
{
	struct buf raw = {0};
	const uint8_t *p = (const uint8_t *)json_string_value(value);
	if (!p)
		return false;
	for (size_t n = json_string_length(value); n > 0;) {
		bool two = *p >= 0xc0 && n > 1;
		buf_u8(&raw, (uint8_t)(two ? (p[0] & 3) << 6 | (p[1] & 0x3f) : p[0]));
		p += 1 + two;
		n -= 1 + two;
	}
	if (counted)
		write_long(c, (int64_t)raw.len);
	buf_put(c->out, raw.data, raw.len);
	buf_free(&raw);
	return true;
}

static bool write_real(struct codec *c, json_t *value, bool wide)
{
	double d = json_is_string(value) ? (double)NAN : json_number_value(value);
	float f = (float)d;
	if (!json_is_number(value) && !json_is_string(value))
		return false;
	buf_put(c->out, wide ? (void *)&d : (void *)&f, wide ? sizeof(d) : sizeof(f));
	return true;
}

static bool write_record(struct codec *c, json_t *type, json_t *value)
{
	size_t i;
	json_t *field, *none = json_null();
	if (!json_is_object(value))
		return false;
	json_array_foreach (json_object_get(type, "fields"), i, field) {
		json_t *v =
			json_object_get(value, json_string_value(json_object_get(field, "name")));
		if (!v)
			v = json_object_get(field, "default");
		if (!write_value(c, json_object_get(field, "type"), v ? v : none))
			return false;
	}
	return true;
}

static bool write_blocks(struct codec *c, json_t *type, json_t *value, bool map)
{
	size_t i, n = map ? json_object_size(value) : json_array_size(value);
	const char *key;
	json_t *child;
	if (map ? !json_is_object(value) : !json_is_array(value))
		return false;
	if (n > 0)
		write_long(c, (int64_t)n);
	json_array_foreach (value, i, child) {
		if (!write_value(c, json_object_get(type, "items"), child))
			return false;
	}
	json_object_foreach (value, key, child) {
		write_long(c, (int64_t)strlen(key));
		buf_puts(c->out, key);
		if (!write_value(c, json_object_get(type, "values"), child))
			return false;
	}
	write_long(c, 0);
	return true;
}

/* The first branch that takes the value. */
static bool write_union(struct codec *c, json_t *type, json_t *value)
{
	size_t i, mark = c->out->len;
	json_t *branch;
	json_array_foreach (type, i, branch) {
		write_long(c, (int64_t)i);
		if (write_value(c, branch, value))
			return true;
		c->out->len = mark;
	}
	return false;
}

static bool write_enum(struct codec *c, json_t *type, json_t *value)
{
	size_t i;
	json_t *symbol;
	json_array_foreach (json_object_get(type, "symbols"), i, symbol) {
		if (json_equal(symbol, value)) {
			write_long(c, (int64_t)i);
			return true;
		}
	}
	return false;
}

static bool write_resolved(struct codec *c, json_t *type, json_t *value)
{
	const char *kind = kind_of(type);
	if (strcmp(kind, "null") == 0)
		return json_is_null(value);
	if (strcmp(kind, "boolean") == 0) {
		buf_u8(c->out, json_is_true(value));
		return json_is_boolean(value);
	}
	if (strcmp(kind, "int") == 0 || strcmp(kind, "long") == 0) {
		write_long(c, json_integer_value(value));
		return json_is_integer(value);
	}
	if (strcmp(kind, "float") == 0 || strcmp(kind, "double") == 0)
		return write_real(c, value, kind[0] == 'd');
	if (strcmp(kind, "string") == 0)
		return write_text(c, value);
	if (strcmp(kind, "bytes") == 0 || strcmp(kind, "fixed") == 0)
		return write_latin1(c, value, kind[0] == 'b');
	if (strcmp(kind, "enum") == 0)
		return write_enum(c, type, value);
	if (strcmp(kind, "union") == 0)
		return write_union(c, type, value);
	if (strcmp(kind, "record") == 0)
		return write_record(c, type, value);
	return write_blocks(c, type, value, strcmp(kind, "map") == 0);
}

static bool write_value(struct codec *c, json_t *type, json_t *value)
{
	type = resolve(c, type);
	if (!type || c->depth >= MAX_DEPTH)
		return false;
	c->depth++;
	bool ok = write_resolved(c, type, value);
	c->depth--;
	return ok;
}

bool event_encode(json_t *schema, json_t *value, struct buf *out)
{
	struct codec c = {.root = schema, .out = out};
	return write_value(&c, schema, value);
}

bool event_confluent(json_t *schema, uint32_t id, json_t *value, struct buf *out)
{
	buf_u8(out, 0);
	buf_be32(out, id);
	return event_encode(schema, value, out);
}
