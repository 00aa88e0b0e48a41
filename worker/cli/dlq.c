/*
 * dlq.c - what the verbs of "memingest dlq" share: a question to the table dead_letters, the end in
 * an error, and the message that a letter was, as bytes again.
 */
#include "cli/dlq.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "codec/peek.h"

/* The condition stands in the middle; its parameters go along. */
struct answer *dlq_query(struct asker *asker, struct asker_sql head, struct dlq_where *w,
			 struct asker_sql tail, struct err *err)
{
	char *sql = xasprintf("%s%s%s", asker_words(asker, head), buf_cstr(&w->sql),
			      asker_words(asker, tail));
	struct answer *rows = asker_query(asker, DLQ_BOTH(sql), w->params, w->n, err);
	free(sql);
	return rows;
}

int dlq_fail(const struct err *err)
{
	return cli_fail((enum exit_code)report_err_exit_code(err), "%s", err->text);
}

/* Hex, as both databases are asked for bytes. */
struct slice dlq_bytes(const char *hex)
{
	if (hex == NULL)
		return (struct slice){0};
	size_t len = strlen(hex) / 2;
	/* not NULL when empty: that would be a null key or value */
	uint8_t *data = xmalloc(len + 1);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)hex_byte(hex + 2 * i);
	return (struct slice){data, len};
}

/* What source_headers_json() wrote, read back. */
static void add_header(struct producer_header *h, const char *name, const json_t *value)
{
	const char *text = json_string_value(value);
	struct buf bytes = {0};
	*h = (struct producer_header){.name = name};
	buf_grow(&bytes, 1); /* not NULL when empty */
	if (text != NULL && strncmp(text, "base64:", 7) == 0 &&
	    buf_unbase64(&bytes, text + 7, strlen(text + 7))) {
		h->value = (struct slice){bytes.data, bytes.len};
		return;
	}
	buf_free(&bytes);
	if (text != NULL)
		h->value = (struct slice){(uint8_t *)xstrdup(text), strlen(text)};
}

/* New headers of the message; names are borrowed from json. */
void dlq_take_headers(struct producer_message *m, json_t *json)
{
	const char *name;
	json_t *value;
	size_t n = 0;
	json_object_foreach (json, name, value) {
		n += json_is_array(value) ? json_array_size(value) : 1;
	}
	struct producer_header *headers = xcalloc(n + 1, sizeof(*headers));
	m->headers = headers;
	json_object_foreach (json, name, value) {
		for (size_t i = 0; i < json_array_size(value); i++)
			add_header(&headers[m->nheaders++], name, json_array_get(value, i));
		if (!json_is_array(value))
			add_header(&headers[m->nheaders++], name, value);
	}
}

/* Topic and names are borrowed. */
void dlq_free_message(struct producer_message *m)
{
	for (size_t i = 0; i < m->nheaders; i++)
		free((void *)(uintptr_t)m->headers[i].value.data);
	free((void *)(uintptr_t)m->headers);
	free((void *)(uintptr_t)m->key.data);
	free((void *)(uintptr_t)m->value.data);
}

/* Text of others on a terminal; at most max bytes, and no half character at the end. */
void dlq_print_safe(const char *text, size_t max)
{
	struct buf out = {0};
	size_t len = strlen(text), end = len;
	if (len > max)
		for (end = max > 3 ? max - 3 : 0;
		     end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80;)
			end--;
	peek_plain((struct slice){(const uint8_t *)text, end}, &out);
	printf("%s%s", buf_cstr(&out), end < len ? "..." : "");
	buf_free(&out);
}
