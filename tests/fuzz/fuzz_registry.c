/*
 * fuzz_registry.c - any answers of a schema registry, one after another, to the worker's question
 * for a schema (with its references) and to the question of commands for an id.
 *
 *   input: answers, ended by the byte 0x1E; the first byte of each picks its status, the rest is
 *          its body. When they are used up nobody answers
 *
 *   FOUND    a schema; else there is none, and err has words
 *   always   the number of requests is bounded, whatever the answers reference
 *
 * The answers take the place of http_client_run() by way of the linker (--wrap); without a fuzzed
 * input at hand that is the real one.
 */
#include "fuzz.h"
#include "io/http_client.h"
#include "io/registry.h"
#include "io/registry_client.h"
#include "io/registry_fetch.h"
#include "schema/schema.h"

/* Two URLs, each asked for the schema, for 64 references, and what a GUID asks besides. */
enum { REQUESTS_MAX = 2 * (1 + 64 + 2) };

static struct {
	bool on;
	const uint8_t *p, *end;
	int requests;
} answers;

void __real_http_client_run(struct http_client *c, struct http_request *requests, size_t n);
void __wrap_http_client_run(struct http_client *c, struct http_request *requests, size_t n);

static void answer(struct http_request *r)
{
	static const long statuses[] = {200, 404, 500, 401, 409, 422, 0, 302};
	const uint8_t *p = answers.p, *stop;
	r->body.len = 0;
	r->answered = r->too_large = false;
	r->status = 0;
	err_set(&r->err, ERR_RETRY, "nobody answers");
	if (p == answers.end)
		return;
	stop = memchr(p, 0x1e, (size_t)(answers.end - p));
	answers.p = stop ? stop + 1 : answers.end;
	size_t len = (size_t)((stop ? stop : answers.end) - p);
	r->status = len > 0 ? statuses[p[0] % ARRAY_LEN(statuses)] : 0;
	r->answered = r->status != 0;
	r->too_large = len > 0 && p[0] >= 0xf0;
	if (len > 1)
		buf_put(&r->body, p + 1, len - 1);
}

void __wrap_http_client_run(struct http_client *c, struct http_request *requests, size_t n)
{
	if (!answers.on) {
		__real_http_client_run(c, requests, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		answer(&requests[i]);
	answers.requests += (int)n;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static void ask_schema(struct registry_client *client, const struct schema_id *id)
{
	struct schema *schema = NULL;
	struct err err = {0};
	enum registry_answer got = registry_fetch(client, id, &schema, &err);
	if ((got == REGISTRY_FOUND) != (schema != NULL))
		give_up("an answer that is FOUND without a schema, or not FOUND with one",
			err.text);
	if (got != REGISTRY_FOUND)
		check_words(&err);
	if (answers.requests > REQUESTS_MAX)
		give_up("requests", "more than the references that are allowed");
	schema_free(schema);
}

static void ask_id(const struct config *config)
{
	struct err err = {0};
	uint32_t id = 0;
	bool is_new = true;
	if (!registry_find(config, "subject", "\"string\"", &is_new, &id, &err))
		check_words(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *urls[] = {"http://one.test/", "http://two.test"};
	static const struct schema_id ids[] = {{.kind = SCHEMA_ID_NUMBER, .number = 7},
					       {.kind = SCHEMA_ID_GUID, .number = 1, .low = 2}};
	static struct registry_client *client;
	static const struct config config = {
		.registry_urls = urls, .nregistry_urls = 2, .registry_timeout_us = 1000000};
	if (!client)
		client = registry_client_new(&config);
	answers.on = true;
	for (size_t i = 0; i <= ARRAY_LEN(ids); i++) {
		answers.p = data;
		answers.end = data + size;
		answers.requests = 0;
		if (i < ARRAY_LEN(ids))
			ask_schema(client, &ids[i]);
		else
			ask_id(&config);
	}
	answers.on = false;
	return 0;
}
