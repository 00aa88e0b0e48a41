/*
 * fuzz_json.c - lines of JSON: the parser against jansson, and whatever was encoded by the schema
 * of everything has to be a datum of it.
 *
 * What ours takes, jansson has to take, but for numbers that a double or an int64 cannot hold and
 * for a NUL in a key. What ours refuses, jansson has to refuse, but for what is nested too deep and
 * for a NUL, which it passes over behind a number. A datum that comes out is walked to its very
 * end.
 */
#include <jansson.h>

#include "codec/measure.h"
#include "file/jsondatum.h"
#include "file/jtape.h"
#include "fuzz.h"

static const char schema_text[] =
	"{\"type\":\"record\",\"name\":\"R\",\"fields\":["
	"{\"name\":\"i\",\"type\":[\"null\",\"int\",\"string\"],\"default\":null},"
	"{\"name\":\"f\",\"type\":[\"null\",{\"type\":\"array\",\"items\":\"float\"}],\"default\":"
	"null},"
	"{\"name\":\"d\",\"type\":[\"null\",{\"type\":\"bytes\",\"logicalType\":\"decimal\","
	"\"precision\":20,\"scale\":4}],\"default\":null},"
	"{\"name\":\"t\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-"
	"micros\"}],"
	"\"default\":null},"
	"{\"name\":\"m\",\"type\":[\"null\",{\"type\":\"map\",\"values\":\"double\"}],\"default\":"
	"null},"
	"{\"name\":\"x\",\"type\":[\"null\",{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}],"
	"\"default\":"
	"null},"
	"{\"name\":\"r\",\"type\":[\"null\",\"R\"],\"default\":null}]}";

static void check_jansson(const uint8_t *data, size_t size, bool ours, const struct err *err)
{
	json_error_t at;
	json_t *theirs =
		json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &at);
	enum json_error_code code = theirs ? json_error_unknown : json_error_code(&at);
	if (ours && !theirs && code != json_error_numeric_overflow &&
	    code != json_error_stack_overflow && code != json_error_null_byte_in_key)
		give_up("jansson refuses what was taken", at.text);
	if (!ours && theirs && !strstr(err->text, "nested too deep") && !memchr(data, 0, size))
		give_up("jansson takes what was refused", err->text);
	json_decref(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct schema *schema;
	static struct measure *measure;
	struct err err = {0};
	if (!schema) {
		schema = schema_parse(schema_text, sizeof(schema_text) - 1, &err);
		measure = measure_new(schema);
	}
	struct jtape tape = {0};
	struct buf out = {0};
	size_t len;
	char *text = xcalloc(1, size + 16);
	if (size > 0)
		memcpy(text, data, size);
	bool ok = jtape_parse(&tape, text, size, &err);
	check_jansson(data, size, ok, &err);
	struct jsondatum *j = jsondatum_new(schema, NULL);
	if (ok && jsondatum_encode(j, &tape, &out, &err) &&
	    (!measure_datum(measure, (struct slice){out.data, out.len}, &len, &err) ||
	     len != out.len))
		give_up("no whole datum", err.text);
	jsondatum_free(j);
	jtape_free(&tape);
	buf_free(&out);
	free(text);
	return 0;
}
