/*
 * fuzz_headers.c - any headers of a message: what they say of its schema, and their way into a dead
 * letter and back.
 *
 *   input: lines "NAME=VALUE" or "NAME" (a null value), ended by the byte 0xFE
 *
 * The JSON of a dead letter is JSON, and "dlq replay" makes the same headers of it: the same values
 * by name, in their order. (That names stand together by name is what an object does; a name that
 * is no UTF-8 is "?" and its values are lost, which the JSON says.) librdkafka's list of headers is
 * real; that it is the message's is told by way of the linker (--wrap).
 */
#include <jansson.h>
#include <librdkafka/rdkafka.h>

#include "cli/dlq.h"
#include "codec/text.h"
#include "fuzz.h"
#include "io/producer.h"
#include "io/source.h"

static rd_kafka_headers_t *headers; /* of the message at hand; NULL: librdkafka is asked */

rd_kafka_resp_err_t __real_rd_kafka_message_headers(const rd_kafka_message_t *m,
						    rd_kafka_headers_t **out);
rd_kafka_resp_err_t __wrap_rd_kafka_message_headers(const rd_kafka_message_t *m,
						    rd_kafka_headers_t **out);
rd_kafka_resp_err_t __wrap_rd_kafka_message_headers(const rd_kafka_message_t *m,
						    rd_kafka_headers_t **out)
{
	if (!headers)
		return __real_rd_kafka_message_headers(m, out);
	*out = headers;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* A name has no NUL: as a C string it ends there. */
static void add_header(const uint8_t *p, size_t len)
{
	const uint8_t *equals = memchr(p, '=', len);
	size_t name = equals ? (size_t)(equals - p) : len;
	const uint8_t *nul = memchr(p, 0, name);
	rd_kafka_header_add(headers, (const char *)p, (ssize_t)(nul ? (size_t)(nul - p) : name),
			    equals ? equals + 1 : NULL, equals ? (ssize_t)(len - name - 1) : 0);
}

static bool is_text(const char *name)
{
	struct refusal ignored;
	return text_check_utf8((struct slice){(const uint8_t *)name, strlen(name)}, &ignored);
}

/* The nth header of that name. */
static const struct producer_header *find(const struct producer_message *m, const char *name,
					  size_t n)
{
	for (size_t i = 0; i < m->nheaders; i++)
		if (strcmp(m->headers[i].name, name) == 0 && n-- == 0)
			return &m->headers[i];
	return NULL;
}

static size_t earlier(size_t i, const char *name)
{
	size_t n = 0, len;
	const char *other;
	const void *value;
	for (size_t k = 0; k < i; k++) {
		rd_kafka_header_get_all(headers, k, &other, &value, &len);
		n += strcmp(other, name) == 0;
	}
	return n;
}

static void check_back(const struct producer_message *m)
{
	const char *name;
	const void *value;
	size_t len;
	for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++) {
		if (!is_text(name) || strcmp(name, "?") == 0)
			continue;
		const struct producer_header *h = find(m, name, earlier(i, name));
		if (!h || (value == NULL) != (h->value.data == NULL) ||
		    (value && (h->value.len != len || memcmp(h->value.data, value, len) != 0)))
			give_up("another header came back", name);
	}
}

static void check_json(const struct source_message *m)
{
	char *text = source_headers_json(m);
	json_error_t at = {0};
	json_t *json = text ? json_loads(text, 0, &at) : NULL;
	struct producer_message back = {0};
	if ((rd_kafka_header_cnt(headers) > 0) != (json != NULL))
		give_up("headers as JSON", at.text);
	dlq_take_headers(&back, json);
	check_back(&back);
	dlq_free_message(&back);
	json_decref(json);
	free(text);
}

static void check_ids(const struct source_message *m)
{
	for (int key = 0; key < 2; key++) {
		struct schema_id id = {0};
		struct err err = {0};
		char text[SCHEMA_ID_TEXT];
		if (!source_schema_id(m, key, &id, &err))
			check_words(&err);
		(void)schema_id_text(&id, text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char any; /* what the message is does not matter */
	struct source_message m = {.headers = &any};
	headers = rd_kafka_headers_new(4);
	for (size_t at = 0; at < size;) {
		const uint8_t *end = memchr(data + at, 0xfe, size - at);
		size_t len = end ? (size_t)(end - data) - at : size - at;
		if (len > 0)
			add_header(data + at, len);
		at += len + 1;
	}
	check_ids(&m);
	check_json(&m);
	rd_kafka_headers_destroy(headers);
	headers = NULL;
	return 0;
}
