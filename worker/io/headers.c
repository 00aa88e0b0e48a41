/*
 * headers.c - a message's headers: which schema they name, and all of them as JSON for dead
 * letters.
 *
 * As JSON they are an object by name; a name that occurs more than once has an array. A value that
 * is not text (invalid UTF-8, or with a NUL, which jsonb cannot hold) is "base64:...", and so is
 * text that begins that way, so that it can be read back.
 *
 * Thread: any. Failure: none; a name that is no text is told as such.
 */
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "io/source.h"
#include "schema/frame.h"

/* Marked, so that it can be read back. */
static json_t *base64_json(const uint8_t *p, size_t len)
{
	struct buf out = {0};
	buf_puts(&out, "base64:");
	buf_base64(&out, (struct slice){p, len});
	json_t *json = json_stringn((const char *)out.data, out.len);
	buf_free(&out);
	return json;
}

/* Text that looks encoded is encoded too, or it would be read back as something else. */
static json_t *value_json(const uint8_t *value, size_t len)
{
	if (!value)
		return json_null();
	bool looks_encoded = len >= 7 && memcmp(value, "base64:", 7) == 0;
	json_t *text = looks_encoded || memchr(value, 0, len)
			       ? NULL
			       : json_stringn((const char *)value, len);
	return text ? text : base64_json(value, len);
}

/* A second value makes an array of the first; the order is kept. */
static void add_header(json_t *object, const char *name, json_t *value)
{
	json_t *old = json_object_get(object, name);
	if (!old) {
		if (json_object_set_new(object, name, value) < 0) /* a name that is not UTF-8 */
			json_object_set_new(object, "?", json_string("name is not UTF-8"));
		return;
	}
	if (!json_is_array(old)) {
		json_t *array = json_array();
		json_array_append(array, old);
		json_object_set_new(object, name, array);
		old = array;
	}
	json_array_append_new(old, value);
}

/* Of several headers that name a schema frame_header() knows which counts. */
bool source_schema_id(const struct source_message *m, bool key, struct schema_id *id,
		      struct err *err)
{
	rd_kafka_headers_t *headers = NULL;
	const char *name;
	const void *value;
	size_t len;
	*id = (struct schema_id){.kind = SCHEMA_ID_NONE};
	if (!m->headers || rd_kafka_message_headers(m->headers, &headers))
		return true;
	for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++)
		if (!frame_header(name, (struct slice){value, len}, key, id, err))
			return false;
	return true;
}

bool source_frame(const struct source_message *m, enum frame_format format, bool key,
		  struct frame *frame, bool *in_header, struct err *err)
{
	struct slice message = key ? m->key : m->value;
	if (format == FRAME_CONFLUENT && !source_schema_id(m, key, &frame->id, err))
		return false;
	*in_header = format == FRAME_CONFLUENT && frame->id.kind != SCHEMA_ID_NONE;
	frame->body = message;
	return *in_header || frame_split(format, message, frame, err);
}

/* NULL for none. The caller frees it. */
char *source_headers_json(const struct source_message *m)
{
	rd_kafka_headers_t *headers = NULL;
	const char *name;
	const void *value;
	size_t len;
	if (!m->headers || rd_kafka_message_headers(m->headers, &headers) ||
	    rd_kafka_header_cnt(headers) == 0)
		return NULL;
	json_t *object = json_object();
	for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++)
		add_header(object, name, value_json(value, len));
	char *text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}
