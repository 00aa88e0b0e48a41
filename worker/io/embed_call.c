/*
 * embed_call.c - a request for vectors, by OpenAI's protocol, which most servers of models speak.
 *
 *   {"model": "minilm", "encoding_format": "base64", "input": ["prefix text", ...]}
 *
 * What a failure is worth:
 *
 *   no connection, a timeout, 408, 425, 429, 502, 503, 504    EMBED_WAIT
 *   500 and the like, an error with status 200, an answer
 *   that is not what was asked for                            EMBED_ODD
 *   400, 413, 422                                             EMBED_REFUSED
 *   any other 3xx and 4xx, a certificate, another dimension   EMBED_HALT
 *
 * That a text is at fault can not be told from one answer: the flow finds out by halves, and by a
 * text that is known to be fine.
 *
 * The key is read anew for each request and is in no message; nor is the text. Thread: the owner's.
 */
#include "io/embed_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/embed_answer.h"

/* Bytes of a number in an answer at most, and what goes around them. */
enum { NUMBER_BYTES = 32, MOST_DIM = 16384, AROUND_BYTES = 64 << 10 };

const char *embed_fault_name(enum embed_fault fault)
{
	static const char *const names[EMBED_FAULTS] = {
		[EMBED_FINE] = "fine",       [EMBED_WAIT] = "wait", [EMBED_ODD] = "odd",
		[EMBED_REFUSED] = "refused", [EMBED_HALT] = "halt",
	};
	return names[fault];
}

/* --- what is sent --- */

/* UTF-8 as a JSON string, its quotes not included. */
static void put_escaped(struct buf *out, struct slice text)
{
	const uint8_t *from = text.data, *end = text.data + text.len;
	for (const uint8_t *p = from; p < end; p++) {
		if (*p >= 0x20 && *p != '"' && *p != '\\' && *p != 0x7f)
			continue;
		buf_put(out, from, (size_t)(p - from));
		buf_printf(out, "\\u%04x", *p);
		from = p + 1;
	}
	buf_put(out, from, (size_t)(end - from));
}

static void put_string(struct buf *out, const char *text)
{
	buf_u8(out, '"');
	put_escaped(out, (struct slice){(const uint8_t *)text, strlen(text)});
	buf_u8(out, '"');
}

struct embed_call *embed_call_new(const struct embed_config *config, uint32_t dim, bool base64)
{
	struct embed_call *c = xcalloc(1, sizeof(*c));
	*c = (struct embed_call){.config = config, .dim = dim, .base64 = base64};
	size_t len = strlen(config->url);
	while (len > 0 && config->url[len - 1] == '/')
		len--;
	buf_printf(&c->url, "%.*s/embeddings", (int)len, config->url);
	buf_puts(&c->body, "{\"model\":");
	put_string(&c->body, config->model);
	if (base64)
		buf_puts(&c->body, ",\"encoding_format\":\"base64\"");
	buf_puts(&c->body, ",\"input\":[");
	return c;
}

/* The key is not left in memory that is used again. */
static void forget_key(struct embed_call *c)
{
	if (c->key)
		explicit_bzero(c->key, strlen(c->key));
	free(c->key);
	c->key = NULL;
}

void embed_call_free(struct embed_call *c)
{
	if (!c)
		return;
	forget_key(c);
	buf_free(&c->http.body);
	buf_free(&c->vectors);
	buf_free(&c->body);
	buf_free(&c->url);
	free(c);
}

void embed_call_put(struct embed_call *c, const char *prefix, struct slice text)
{
	buf_puts(&c->body, c->n++ > 0 ? ",\"" : "\"");
	put_escaped(&c->body, (struct slice){(const uint8_t *)prefix, strlen(prefix)});
	put_escaped(&c->body, text);
	buf_u8(&c->body, '"');
}

bool embed_call_begin(struct embed_call *c)
{
	size_t dim = c->dim ? c->dim : MOST_DIM;
	forget_key(c);
	if (c->config->key_file && !(c->key = config_secret(NULL, c->config->key_file, &c->err))) {
		c->fault = EMBED_WAIT;
		return false;
	}
	buf_puts(&c->body, "]}");
	c->http = (struct http_request){.url = buf_cstr(&c->url),
					.post = buf_cstr(&c->body),
					.type = "application/json",
					.accept = "application/json",
					.token = c->key,
					.ca = c->config->ca,
					.timeout_us = c->config->timeout_us,
					.max_bytes = c->n * dim * NUMBER_BYTES + AROUND_BYTES,
					.body = c->http.body};
	return true;
}

/* --- what came of it --- */

static enum embed_fault fault_of_status(long status)
{
	switch (status) {
	case 408:
	case 425:
	case 429:
	case 502:
	case 503:
	case 504:
		return EMBED_WAIT;
	case 400:
	case 413:
	case 422:
		return EMBED_REFUSED;
	}
	return status >= 500 ? EMBED_ODD : EMBED_HALT;
}

/* What to do about it, behind the server's words. */
static const char *advice(const struct embed_call *c, long status)
{
	if (status == 401 || status == 403)
		return c->config->key_file ? "; mend the file of key_file, it is read again"
					   : "; set key_file";
	if (status == 404 || status == 405)
		return "; is url right (it ends before /embeddings), and does the server have this "
		       "model?";
	return "";
}

static enum embed_fault judge_status(struct embed_call *c)
{
	struct http_request *h = &c->http;
	char words[400];
	buf_cstr(&h->body);
	embed_answer_words((char *)h->body.data, h->body.len, words, sizeof(words));
	enum embed_fault fault = fault_of_status(h->status);
	c->too_much = h->status == 413;
	err_set(&c->err, fault == EMBED_HALT ? ERR_CONFIG : ERR_RETRY, "status %ld%s%s%s",
		h->status, words[0] ? ": " : "", words, advice(c, h->status));
	return fault;
}

static enum embed_fault judge_answer(struct embed_call *c)
{
	struct http_request *h = &c->http;
	struct embed_answer a = {.n = c->n, .dim = c->dim, .vectors = &c->vectors};
	c->vectors.len = 0;
	memset(buf_take(&h->body, 16), 0, 16);
	bool ok = embed_answer_read(&a, (char *)h->body.data, h->body.len - 16, &c->err);
	c->tokens = a.tokens;
	c->got_dim = a.dim;
	if (ok)
		return EMBED_FINE;
	if (a.other_dim)
		return EMBED_HALT;
	return a.status ? fault_of_status(a.status) : EMBED_ODD;
}

static enum embed_fault judge_flood(struct embed_call *c)
{
	err_set(&c->err, ERR_RETRY, "an answer of over %zu bytes", c->http.max_bytes);
	return EMBED_ODD;
}

/*
 * Of a connection that broke, or had no answer in time, or never was. A server that had the request
 * may have been too slow for it, or have died of it.
 */
static enum embed_fault judge_silence(struct embed_call *c)
{
	c->err = c->http.err;
	c->too_much = c->http.sent;
	return c->err.class == ERR_CONFIG ? EMBED_HALT : EMBED_WAIT;
}

enum embed_fault embed_call_judge(struct embed_call *c)
{
	const struct http_request *h = &c->http;
	err_clear(&c->err);
	forget_key(c);
	c->too_much = false;
	c->retry_us = h->retry_after_us;
	if (!h->answered)
		c->fault = judge_silence(c);
	else if (h->status != 200)
		c->fault = judge_status(c);
	else
		c->fault = h->too_large ? judge_flood(c) : judge_answer(c);
	if (c->fault == EMBED_HALT)
		c->err.class = ERR_CONFIG;
	if (c->fault != EMBED_FINE)
		err_wrap(&c->err, "embed.%s", c->config->name);
	return c->fault;
}

/* --- one text --- */

static enum embed_fault ask_once(struct embed_call *c, struct http_client *client,
				 const char *prefix, struct slice text)
{
	embed_call_put(c, prefix, text);
	if (!embed_call_begin(c))
		return c->fault;
	http_client_run(client, &c->http, 1);
	return embed_call_judge(c);
}

/* A server that does not know base64 is asked again without. */
bool embed_once(const struct embed_config *config, const char *prefix, struct slice text,
		uint32_t dim, bool normalize, struct buf *out, struct err *err)
{
	static const enum err_class classes[EMBED_FAULTS] = {[EMBED_WAIT] = ERR_RETRY,
							     [EMBED_ODD] = ERR_RETRY,
							     [EMBED_REFUSED] = ERR_POISON,
							     [EMBED_HALT] = ERR_CONFIG};
	struct http_client *client = http_client_new();
	enum embed_fault fault = EMBED_REFUSED;
	for (int base64 = 1; base64 >= 0 && fault == EMBED_REFUSED; base64--) {
		struct embed_call *c = embed_call_new(config, dim, base64);
		fault = ask_once(c, client, prefix, text);
		if (fault == EMBED_FINE && normalize)
			embed_normalize(c->vectors.data, c->got_dim);
		if (fault == EMBED_FINE)
			buf_put(out, c->vectors.data, c->vectors.len);
		else
			err_set(err, classes[fault], "%s", c->err.text);
		embed_call_free(c);
	}
	http_client_free(client);
	return fault == EMBED_FINE;
}
