/*
 * test_registry.c - the schema cache against a registry that runs in this process and can be told
 * to misbehave.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/stats.h"
#include "io/registry.h"
#include "io/schemaref.h"
#include "schema/schema.h"
#include "unit.h"

/* --- a registry to order --- */

struct page {
	const char *path;
	unsigned status;
	const char *body;
	const char *location; /* of a redirect */
};

struct stub {
	struct MHD_Daemon *daemon;
	unsigned port;
	char url[64];
	atomic_int requests;
	atomic_int status;         /* not 0: every answer has it */
	atomic_int delay_ms;       /* before each answer */
	const char *authorization; /* demanded if not NULL */
	struct page pages[16];
	size_t npages;
	char *posted; /* the last body */
};

static enum MHD_Result stub_reply(struct MHD_Connection *conn, unsigned status, const char *body,
				  const char *location)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
		strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
	if (location != NULL)
		MHD_add_response_header(r, "Location", location);
	enum MHD_Result rc = MHD_queue_response(conn, status, r);
	MHD_destroy_response(r);
	return rc;
}

static enum MHD_Result stub_answer(void *ctx, struct MHD_Connection *conn, const char *url,
				   const char *method, const char *version, const char *upload,
				   size_t *upload_len, void **state)
{
	struct stub *s = ctx;
	(void)method;
	(void)version;
	if (*state == NULL) {
		*state = s;
		return MHD_YES;
	}
	if (*upload_len > 0) {
		free(s->posted);
		s->posted = strndup(upload, *upload_len);
		*upload_len = 0;
		return MHD_YES;
	}
	atomic_fetch_add(&s->requests, 1);
	poll(NULL, 0, atomic_load(&s->delay_ms));
	if (atomic_load(&s->status) != 0)
		return stub_reply(conn, (unsigned)atomic_load(&s->status), "out of order", NULL);
	const char *auth = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Authorization");
	if (s->authorization != NULL && (auth == NULL || strcmp(auth, s->authorization) != 0))
		return stub_reply(conn, 401, "{\"error_code\":40101,\"message\":\"Unauthorized\"}",
				  NULL);
	for (size_t i = 0; i < s->npages; i++)
		if (strcmp(url, s->pages[i].path) == 0)
			return stub_reply(conn, s->pages[i].status, s->pages[i].body,
					  s->pages[i].location);
	return stub_reply(conn, 404, "{\"error_code\":40403,\"message\":\"Schema not found\"}",
			  NULL);
}

static struct stub *stub_new(void)
{
	struct stub *s = calloc(1, sizeof(*s));
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	s->daemon = MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD, 0, NULL, NULL, stub_answer, s,
				     MHD_OPTION_SOCK_ADDR, &addr, MHD_OPTION_END);
	ck_assert_ptr_nonnull(s->daemon);
	s->port = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", s->port);
	return s;
}

static void stub_free(struct stub *s)
{
	MHD_stop_daemon(s->daemon);
	free(s->posted);
	free(s);
}

static void stub_page(struct stub *s, const char *path, unsigned status, const char *body)
{
	s->pages[s->npages++] = (struct page){.path = path, .status = status, .body = body};
}

/* A port on which nobody listens. */
static void dead_url(char *out, size_t size)
{
	struct stub *s = stub_new();
	snprintf(out, size, "%s", s->url);
	stub_free(s);
}

/* --- the registry under test --- */

static const char *urls[2];
static struct config config;
static struct stub *stub, *second;
static char folder[64];

#define NUMBER(n) ((struct schema_id){.kind = SCHEMA_ID_NUMBER, .number = (n)})
#define FINGERPRINT(n) ((struct schema_id){.kind = SCHEMA_ID_FINGERPRINT, .number = (n)})
#define STRING_SCHEMA "{\"schema\":\"\\\"string\\\"\"}"

static void setup(void)
{
	unsetenv("http_proxy");
	stats_init(NULL, 0, NULL, 0);
	stub = stub_new();
	second = stub_new();
	urls[0] = stub->url;
	urls[1] = second->url;
	config = (struct config){
		.registry_urls = urls, .nregistry_urls = 1, .registry_timeout_us = 5 * US_PER_S};
	snprintf(folder, sizeof(folder), "/tmp/test_registry.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -r %s", folder);
	ck_assert_int_eq(system(command), 0);
	stub_free(stub);
	stub_free(second);
}

static const char *write_file(char *path, size_t size, const char *name, const char *text)
{
	snprintf(path, size, "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
	return path;
}

static struct registry *start(void)
{
	struct err err;
	struct registry *r = registry_new(&config, &err);
	ck_assert_msg(r != NULL, "%s", r == NULL ? err.text : "");
	return r;
}

/* Asks as the poll thread does, until there is an answer or the time is over. */
static enum registry_answer get_id(struct registry *r, const struct schema_id *id,
				   const struct schema **schema, struct err *err, int ms)
{
	int64_t deadline = clock_mono_us() + ms * US_PER_MS;
	for (;;) {
		enum registry_answer a = registry_get(r, id, schema, err);
		if (a != REGISTRY_PENDING || clock_poll_ms(deadline) == 0)
			return a;
		struct pollfd p = {.fd = registry_fd(r), .events = POLLIN};
		poll(&p, 1, clock_poll_ms(deadline));
		registry_ack(r);
	}
}

static enum registry_answer get(struct registry *r, uint64_t id, const struct schema **schema,
				struct err *err, int ms)
{
	return get_id(r, &NUMBER(id), schema, err, ms);
}

static void wait_requests(struct stub *s, int n)
{
	for (int i = 0; i < 500 && atomic_load(&s->requests) < n; i++)
		poll(NULL, 0, 10);
	ck_assert_int_ge(atomic_load(&s->requests), n);
}

/*
 * The first call never waits; the descriptor tells when to come back; the second answer costs no
 * request.
 */
START_TEST(pending_then_found)
{
	const struct schema *schema = NULL, *again = NULL;
	struct err err;
	stub_page(stub, "/schemas/ids/7", 200, STRING_SCHEMA);
	struct registry *r = start();
	ck_assert_int_eq(registry_get(r, &NUMBER(7), &schema, &err), REGISTRY_PENDING);
	struct pollfd p = {.fd = registry_fd(r), .events = POLLIN};
	ck_assert_int_eq(poll(&p, 1, 5000), 1);
	registry_ack(r);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	ck_assert_int_eq(registry_get(r, &NUMBER(7), &schema, &err), REGISTRY_FOUND);
	ck_assert_int_eq(schema->root->kind, SCHEMA_STRING);
	ck_assert_int_eq(registry_get(r, &NUMBER(7), &again, &err), REGISTRY_FOUND);
	ck_assert_ptr_eq(schema, again);
	ck_assert_int_eq(atomic_load(&stub->requests), 1);
	ck_assert_int_ge(stats_get(METRIC_SCHEMA_REQUESTS, RESULT_OK, 0), 1);
	registry_free(r);
}
END_TEST

/*
 * "Unknown" is an answer, with the registry's error code or, as its web server says it of a path
 * that it cannot read, without; and it is remembered: one request for many questions.
 */
START_TEST(unknown_is_remembered)
{
	const struct schema *schema;
	struct err err;
	if (_i == 1)
		stub_page(stub, "/schemas/ids/9", 404,
			  "{\"error_code\":404,\"message\":\"HTTP 404 Not Found\"}");
	if (_i == 2)
		stub_page(stub, "/schemas/ids/9", 404, "<html>");
	struct registry *r = start();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(get(r, 9, &schema, &err, 5000), REGISTRY_UNKNOWN);
	ck_assert_ptr_nonnull(strstr(err.text, "schema id 9"));
	ck_assert_int_eq(atomic_load(&stub->requests), 1);
	registry_free(r);
}
END_TEST

/*
 * A registry that lags, or a proxy without one behind it, makes no dead letters at once: it is
 * asked again and again, others meanwhile too, and only then it is believed. Who waits is woken by
 * the first such answer and told of it.
 */
START_TEST(unknown_is_asked_again)
{
	const struct schema *schema;
	struct err err;
	stub_page(stub, "/schemas/ids/1", 200, STRING_SCHEMA);
	stub_page(stub, "/schemas/ids/2", 200, STRING_SCHEMA);
	atomic_store(&stub->status, 404);
	config.registry_unknown_wait_us = 60 * US_PER_S;
	struct registry *r = start();
	ck_assert_int_eq(get(r, 1, &schema, &err, 0), REGISTRY_PENDING);
	ck_assert_ptr_nonnull(strstr(err.text, "schema id 1 of schema registry http://"));
	struct pollfd p = {.fd = registry_fd(r), .events = POLLIN};
	ck_assert_int_eq(poll(&p, 1, 5000), 1);
	ck_assert_int_eq(get(r, 1, &schema, &err, 0), REGISTRY_PENDING);
	ck_assert_ptr_nonnull(strstr(err.text, "does not know the schema yet"));
	wait_requests(stub, 3);
	atomic_store(&stub->status, 0);
	ck_assert_int_eq(get(r, 2, &schema, &err, 5000), REGISTRY_FOUND);
	ck_assert_int_eq(get(r, 1, &schema, &err, 5000), REGISTRY_FOUND);
	registry_free(r);

	config.registry_unknown_wait_us = 500 * US_PER_MS;
	int64_t start_us = clock_mono_us();
	r = start();
	ck_assert_int_eq(get(r, 9, &schema, &err, 5000), REGISTRY_UNKNOWN);
	ck_assert_int_ge(clock_mono_us() - start_us, 500 * US_PER_MS);
	registry_free(r);
}
END_TEST

/* An id of more than 31 bits is none, and nobody is asked. */
START_TEST(no_id_at_all)
{
	const struct schema *schema;
	struct err err;
	config.registry_unknown_wait_us = 60 * US_PER_S;
	struct registry *r = start();
	ck_assert_int_eq(registry_get(r, &NUMBER(UINT32_MAX), &schema, &err), REGISTRY_UNKNOWN);
	ck_assert_int_eq(registry_get(r, &NUMBER(INT64_C(0x80000000)), &schema, &err),
			 REGISTRY_UNKNOWN);
	ck_assert_int_eq(registry_get(r, &NUMBER(INT32_MAX), &schema, &err), REGISTRY_PENDING);
	wait_requests(stub, 1);
	registry_free(r);
	ck_assert_int_eq(atomic_load(&stub->requests), 1);
}
END_TEST

/*
 * While the registry is down what is known is served, what is not stays pending; the first answer
 * frees all that wait.
 */
START_TEST(down_then_up)
{
	const struct schema *schema;
	struct err err;
	stub_page(stub, "/schemas/ids/1", 200, STRING_SCHEMA);
	stub_page(stub, "/schemas/ids/2", 200, STRING_SCHEMA);
	stub_page(stub, "/schemas/ids/3", 200, STRING_SCHEMA);
	struct registry *r = start();
	ck_assert_int_eq(get(r, 1, &schema, &err, 5000), REGISTRY_FOUND);
	atomic_store(&stub->status, 503);
	int64_t errors = stats_get(METRIC_SCHEMA_REQUESTS, RESULT_ERROR, 0);
	ck_assert_int_eq(get(r, 2, &schema, &err, 0), REGISTRY_PENDING);
	wait_requests(stub, 5); /* id 2 is asked again in 0.8 s at the earliest */
	ck_assert_int_eq(get(r, 3, &schema, &err, 0), REGISTRY_PENDING);
	wait_requests(stub, 6);
	ck_assert_int_eq(get(r, 1, &schema, &err, 0), REGISTRY_FOUND);
	ck_assert_int_ge(stats_get(METRIC_SCHEMA_REQUESTS, RESULT_ERROR, 0) - errors, 4);
	atomic_store(&stub->status, 0);
	ck_assert_int_eq(get(r, 3, &schema, &err, 5000), REGISTRY_FOUND);
	ck_assert_int_eq(get(r, 2, &schema, &err, 50), REGISTRY_FOUND);
	registry_free(r);
}
END_TEST

/*
 * The second URL serves when the first is refused or broken, and stays in use: the first is not
 * asked for the next id.
 */
START_TEST(failover_is_sticky)
{
	const struct schema *schema;
	struct err err;
	config.nregistry_urls = 2;
	atomic_store(&stub->status, 500);
	stub_page(second, "/schemas/ids/1", 200, STRING_SCHEMA);
	stub_page(second, "/schemas/ids/2", 200, STRING_SCHEMA);
	struct registry *r = start();
	ck_assert_int_eq(get(r, 1, &schema, &err, 5000), REGISTRY_FOUND);
	ck_assert_int_eq(get(r, 2, &schema, &err, 5000), REGISTRY_FOUND);
	ck_assert_int_eq(atomic_load(&stub->requests), 1);
	ck_assert_int_eq(atomic_load(&second->requests), 2);
	registry_free(r);

	atomic_store(&stub->status, 404); /* a web server, but no registry */
	r = start();
	ck_assert_int_eq(get(r, 1, &schema, &err, 0), REGISTRY_PENDING);
	wait_requests(second, 3);
	ck_assert_int_eq(get(r, 1, &schema, &err, 5000), REGISTRY_FOUND);
	ck_assert_int_eq(atomic_load(&stub->requests), 2);
	registry_free(r);

	char dead[64];
	dead_url(dead, sizeof(dead));
	urls[0] = dead;
	r = start();
	ck_assert_int_eq(get(r, 1, &schema, &err, 5000), REGISTRY_FOUND);
	registry_free(r);
}
END_TEST

/* A slow registry costs its timeout, not more, and no other id is lost by it. */
START_TEST(timeout_is_no_answer)
{
	const struct schema *schema;
	struct err err;
	config.registry_timeout_us = 100 * US_PER_MS;
	stub_page(stub, "/schemas/ids/1", 200, STRING_SCHEMA);
	atomic_store(&stub->delay_ms, 400);
	struct registry *r = start();
	ck_assert_int_eq(get(r, 1, &schema, &err, 300), REGISTRY_PENDING);
	atomic_store(&stub->delay_ms, 0);
	ck_assert_int_eq(get(r, 1, &schema, &err, 10000), REGISTRY_FOUND);
	registry_free(r);
}
END_TEST

/* registry_free() does not wait for a request that hangs. */
START_TEST(free_ends_a_request)
{
	const struct schema *schema;
	struct err err;
	atomic_store(&stub->delay_ms, 2000);
	struct registry *r = start();
	ck_assert_int_eq(registry_get(r, &NUMBER(1), &schema, &err), REGISTRY_PENDING);
	wait_requests(stub, 1);
	int64_t before = clock_mono_us();
	registry_free(r);
	ck_assert_int_lt(clock_mono_us() - before, US_PER_S);
}
END_TEST

/* A password that was rotated is read again from its file, without a restart. */
START_TEST(password_is_read_again)
{
	const struct schema *schema;
	struct err err;
	char path[128];
	stub_page(stub, "/schemas/ids/1", 200, STRING_SCHEMA);
	stub->authorization = "Basic dXNlcjpuZXc="; /* user:new */
	config.registry_user = "user";
	config.registry_password_file = write_file(path, sizeof(path), "password", "old\n");
	struct registry *r = start();
	ck_assert_int_eq(get(r, 1, &schema, &err, 300), REGISTRY_PENDING);
	write_file(path, sizeof(path), "password", "new\n");
	ck_assert_int_eq(get(r, 1, &schema, &err, 10000), REGISTRY_FOUND);
	registry_free(r);
}
END_TEST

/* A token goes as bearer; a wrong one is a mistake of the config, and is not in the message. */
START_TEST(token_is_sent)
{
	struct err err;
	stub->authorization = "Bearer abc.def";
	config.registry_token = "abc.def";
	ck_assert(registry_ping(&config, &err));
	config.registry_token = "sesame";
	ck_assert(!registry_ping(&config, &err));
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "401"));
	ck_assert_ptr_null(strstr(err.text, "sesame"));
}
END_TEST

/* Credentials within a URL are not shown. */
START_TEST(no_secret_in_messages)
{
	struct err err;
	char url[128];
	snprintf(url, sizeof(url), "http://user:sesame@127.0.0.1:%u/", stub->port);
	urls[0] = url;
	atomic_store(&stub->status, 503);
	ck_assert(!registry_ping(&config, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "503"));
	ck_assert_ptr_null(strstr(err.text, "sesame"));
}
END_TEST

/* An answer without end is cut off, and is no schema. */
START_TEST(oversized_is_invalid)
{
	const struct schema *schema;
	struct err err;
	size_t len = 2 * 1024 * 1024;
	char *big = malloc(len + 1);
	memset(big, ' ', len);
	big[len] = '\0';
	stub_page(stub, "/schemas/ids/1", 200, big);
	struct registry *r = start();
	ck_assert_int_eq(get(r, 1, &schema, &err, 5000), REGISTRY_INVALID);
	ck_assert_ptr_nonnull(strstr(err.text, "larger than"));
	registry_free(r);
	free(big);
}
END_TEST

/*
 * What the registry has, but not as an Avro schema, is invalid and says why; what is no answer of a
 * registry stays pending.
 */
START_TEST(invalid_schemas)
{
	const struct schema *schema;
	struct err err;
	stub_page(stub, "/schemas/ids/1", 200, "{\"schema\":\"{\\\"type\\\":\\\"strin\\\"}\"}");
	stub_page(stub, "/schemas/ids/2", 200, "{\"schema\":\"{nonsense\"}");
	stub_page(stub, "/schemas/ids/3", 200,
		  "{\"schemaType\":\"PROTOBUF\",\"schema\":\"syntax\"}");
	stub_page(stub, "/schemas/ids/4", 200, "<html>welcome</html>");
	stub_page(stub, "/schemas/ids/5", 200, "{\"hello\":1}");
	struct registry *r = start();
	ck_assert_int_eq(get(r, 1, &schema, &err, 5000), REGISTRY_INVALID);
	ck_assert_ptr_nonnull(strstr(err.text, "strin"));
	ck_assert_ptr_nonnull(strstr(err.text, "schema id 1"));
	ck_assert_int_eq(get(r, 2, &schema, &err, 5000), REGISTRY_INVALID);
	ck_assert_int_eq(get(r, 3, &schema, &err, 5000), REGISTRY_INVALID);
	ck_assert_ptr_nonnull(strstr(err.text, "PROTOBUF"));
	ck_assert_int_eq(get(r, 4, &schema, &err, 200), REGISTRY_PENDING);
	ck_assert_int_eq(get(r, 5, &schema, &err, 200), REGISTRY_PENDING);
	registry_free(r);
}
END_TEST

/*
 * Two references that share a third: each is fetched once, and the whole parses. A reference that
 * is missing is named.
 */
START_TEST(references)
{
	const struct schema *schema;
	struct err err;
	stub_page(stub, "/schemas/ids/1", 200,
		  "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R\\\","
		  "\\\"namespace\\\":\\\"a\\\","
		  "\\\"fields\\\":["
		  "{\\\"name\\\":\\\"x\\\",\\\"type\\\":\\\"B\\\"},{\\\"name\\\":\\\"y\\\","
		  "\\\"type\\\":[\\\"null\\\","
		  "\\\"c.C\\\"]}]}\","
		  "\"references\":[{\"name\":\"a.B\",\"subject\":\"b/s\",\"version\":2},"
		  "{\"name\":\"c.C\",\"subject\":\"c\",\"version\":1}]}");
	stub_page(stub, "/subjects/b/s/versions/2", 200,
		  "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"a.B\\\","
		  "\\\"fields\\\":["
		  "{\\\"name\\\":\\\"c\\\",\\\"type\\\":\\\"c.C\\\"}]}\","
		  "\"references\":[{\"name\":\"c.C\",\"subject\":\"c\",\"version\":1}]}");
	stub_page(stub, "/subjects/c/versions/1", 200,
		  "{\"schema\":\"{\\\"type\\\":\\\"enum\\\",\\\"name\\\":\\\"c.C\\\","
		  "\\\"symbols\\\":[\\\"P\\\"]}\"}");
	stub_page(stub, "/schemas/ids/2", 200,
		  "{\"schema\":\"\\\"z.Z\\\"\",\"references\":[{\"name\":\"z.Z\",\"subject\":\"z\","
		  "\"version\":1}]}");
	stub_page(stub, "/subjects/z/versions/1", 404,
		  "{\"error_code\":40401,\"message\":\"Subject not found\"}");
	struct registry *r = start();
	ck_assert_int_eq(get(r, 1, &schema, &err, 5000), REGISTRY_FOUND);
	ck_assert_int_eq(schema->root->fields[0].type->kind, SCHEMA_RECORD);
	ck_assert_str_eq(schema->root->fields[0].type->fields[0].type->full_name, "c.C");
	ck_assert_ptr_eq(schema->root->fields[1].type->branches[1],
			 schema->root->fields[0].type->fields[0].type);
	ck_assert_int_eq(atomic_load(&stub->requests), 3);
	ck_assert_int_eq(get(r, 2, &schema, &err, 5000), REGISTRY_INVALID);
	ck_assert_ptr_nonnull(strstr(err.text, "subject \"z\""));
	registry_free(r);
}
END_TEST

/*
 * A definition without namespace keeps having none, wherever it is put; every later mention stays a
 * name.
 */
START_TEST(inlining)
{
	json_t *schema = json_loads(
		"{\"type\":\"record\",\"name\":\"a.R\",\"fields\":["
		"{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"N\"}},"
		"{\"name\":\"l\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"a.S\"}}},"
		"{\"name\":\"s\",\"type\":\"S\"}]}",
		0, NULL);
	json_t *defs = json_loads(
		"{\"a.N\":{\"type\":\"fixed\",\"name\":\"N\",\"namespace\":\"a\",\"size\":2},"
		"\"a.S\":{\"type\":\"record\",\"name\":\"a.S\",\"fields\":["
		"{\"name\":\"next\",\"type\":[\"null\",\"S\"]}]},\"U\":{\"type\":\"enum\",\"name\":"
		"\"U\"}}",
		0, NULL);
	json_t *want = json_loads(
		"{\"type\":\"record\",\"name\":\"a.R\",\"fields\":["
		"{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":"
		"{\"type\":\"fixed\",\"name\":\"N\",\"namespace\":\"a\",\"size\":2}}},"
		"{\"name\":\"l\",\"type\":{\"type\":\"array\",\"items\":{\"type\":{\"type\":"
		"\"record\",\"name\":\"a.S\","
		"\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"S\"]}]}}}},"
		"{\"name\":\"s\",\"type\":\"S\"}]}",
		0, NULL);
	ck_assert_ptr_nonnull(want);
	schema = schemaref_inline(schema, defs);
	ck_assert_int_eq(json_equal(schema, want), 1);
	json_decref(schema);
	json_decref(want);
	schema = schemaref_inline(json_string("U"), defs);
	ck_assert_str_eq(json_string_value(json_object_get(schema, "namespace")), "");
	json_decref(schema);
	json_decref(defs);
}
END_TEST

/* A redirect within http is followed, one to another scheme is not. */
START_TEST(redirects)
{
	struct err err;
	char location[96];
	snprintf(location, sizeof(location), "%s/schemas/ids/1", second->url);
	stub->pages[stub->npages++] = (struct page){"/schemas/ids/1", 307, "", location};
	stub_page(second, "/schemas/ids/1", 200, STRING_SCHEMA);
	ck_assert_msg(registry_ping(&config, &err), "not followed");
	stub->pages[0].location = "file:///etc/hostname";
	ck_assert(!registry_ping(&config, &err));
	/* curl: Protocol "file" not supported .. */
	ck_assert_msg(strstr(err.text, "rotocol") != NULL, "%s", err.text);
}
END_TEST

/*
 * The folder serves ids and fingerprints without asking anybody; without a URL the rest is unknown
 * at once.
 */
START_TEST(folder_first)
{
	const struct schema *schema;
	struct err err;
	char path[128];
	write_file(path, sizeof(path), "12.avsc", "\"long\"");
	config.registry_directory = folder;
	struct registry *r = start();
	ck_assert_int_eq(registry_get(r, &NUMBER(12), &schema, &err), REGISTRY_FOUND);
	ck_assert_int_eq(schema->root->kind, SCHEMA_LONG);
	uint64_t fingerprint = schema_fingerprint(schema);
	ck_assert_int_eq(registry_get(r, &FINGERPRINT(fingerprint), &schema, &err), REGISTRY_FOUND);
	ck_assert_int_eq(registry_get(r, &FINGERPRINT(fingerprint + 1), &schema, &err),
			 REGISTRY_UNKNOWN);
	ck_assert_int_eq(atomic_load(&stub->requests), 0);
	registry_free(r);

	config.nregistry_urls = 0;
	r = start();
	ck_assert_int_eq(registry_get(r, &NUMBER(13), &schema, &err), REGISTRY_UNKNOWN);
	ck_assert_ptr_nonnull(strstr(err.text, "13.avsc"));
	registry_free(r);
}
END_TEST

/*
 * The schema files of the streams are known by fingerprint; a broken file ends the start and is
 * named.
 */
START_TEST(stream_files)
{
	const struct schema *schema;
	struct err err;
	char path[128], key_path[128];
	struct stream_config s = {
		.schema = write_file(path, sizeof(path), "v.avsc", "\"int\""),
		.key_schema = write_file(key_path, sizeof(key_path), "k.avsc", "\"bytes\"")};
	config.streams = &s;
	config.nstreams = 1;
	struct schema *bytes = schema_parse("\"bytes\"", 7, &err);
	struct registry *r = start();
	ck_assert_int_eq(registry_get(r, &FINGERPRINT(schema_fingerprint(bytes)), &schema, &err),
			 REGISTRY_FOUND);
	registry_free(r);
	schema_free(bytes);
	write_file(key_path, sizeof(key_path), "k.avsc", "\"byte\"");
	ck_assert_ptr_null(registry_new(&config, &err));
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "k.avsc"));
}
END_TEST

/* --- other ids --- */

static const struct schema_id guid = {.kind = SCHEMA_ID_GUID,
				      .number = UINT64_C(0x8979176223364186),
				      .low = UINT64_C(0x9674299b90a802e2)},
			      other_guid = {.kind = SCHEMA_ID_GUID,
					    .number = UINT64_C(0x8979176223364186),
					    .low = UINT64_C(0x9674299b90a802e3)};
#define GUID_TEXT "89791762-2336-4186-9674-299b90a802e2"

/* A GUID is asked for by its text; one that the registry does not have is unknown, and named. */
START_TEST(guids)
{
	const struct schema *schema;
	struct err err;
	stub_page(stub, "/schemas/guids/" GUID_TEXT, 200, STRING_SCHEMA);
	struct registry *r = start();
	ck_assert_int_eq(get_id(r, &guid, &schema, &err, 5000), REGISTRY_FOUND);
	ck_assert_int_eq(schema->root->kind, SCHEMA_STRING);
	ck_assert_int_eq(get_id(r, &other_guid, &schema, &err, 5000), REGISTRY_UNKNOWN);
	ck_assert_msg(strstr(err.text, "GUID 89791762-2336-4186-9674-299b90a802e3"), "%s",
		      err.text);
	ck_assert_int_eq(atomic_load(&stub->requests), 2);
	registry_free(r);
}
END_TEST

/*
 * A registry without GUIDs says 404 like a wrong proxy. If it answers to ids, it is a registry, and
 * the partition halts with what to do; if it does not, it is one that is down.
 */
START_TEST(registry_without_guids)
{
	static const char no_page[] = "{\"error_code\":404,\"message\":\"HTTP 404 Not Found\"}";
	const struct schema *schema;
	struct err err;
	stub_page(stub, "/schemas/guids/" GUID_TEXT, 404, no_page);
	struct registry *r = start();
	ck_assert_int_eq(get_id(r, &guid, &schema, &err, 5000), REGISTRY_INVALID);
	ck_assert_msg(strstr(err.text, "PrefixSchemaIdSerializer"), "%s", err.text);
	registry_free(r);
	stub_page(stub, "/schemas/ids/1", 404, no_page);
	r = start();
	ck_assert_int_eq(get_id(r, &guid, &schema, &err, 5000), REGISTRY_UNKNOWN);
	registry_free(r);
	atomic_store(&stub->status, 503);
	r = start();
	ck_assert_int_eq(get_id(r, &guid, &schema, &err, 300), REGISTRY_PENDING);
	registry_free(r);
}
END_TEST

/* The folder has GUIDs by name; without a registry the others are unknown. */
START_TEST(guid_in_the_folder)
{
	const struct schema *schema;
	struct err err;
	char path[128];
	write_file(path, sizeof(path), GUID_TEXT ".avsc", "\"long\"");
	config.registry_directory = folder;
	config.nregistry_urls = 0;
	struct registry *r = start();
	ck_assert_int_eq(registry_get(r, &guid, &schema, &err), REGISTRY_FOUND);
	ck_assert_int_eq(schema->root->kind, SCHEMA_LONG);
	ck_assert_int_eq(registry_get(r, &other_guid, &schema, &err), REGISTRY_UNKNOWN);
	ck_assert_msg(strstr(err.text, "299b90a802e3.avsc"), "%s", err.text);
	registry_free(r);
}
END_TEST

/*
 * Fingerprints: of the canonical form, of the form that keeps logical types, and the one that a
 * file is named by. All three lead to one schema.
 */
START_TEST(fingerprints)
{
	static const char text[] = "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}";
	const struct schema *schema, *again;
	struct err err;
	char path[128];
	write_file(path, sizeof(path), "00DDBA11deadbeef.avsc", text);
	write_file(path, sizeof(path), "1234567890123456.avsc.old", text);
	write_file(path, sizeof(path), "17.avsc", "\"bytes\"");
	config.registry_directory = folder;
	struct registry *r = start();
	struct schema *own = schema_parse(text, strlen(text), &err);
	uint64_t plain = schema_fingerprint(own), logical = schema_fingerprint_logical(own);
	ck_assert(plain != logical);
	ck_assert_int_eq(registry_get(r, &FINGERPRINT(plain), &schema, &err), REGISTRY_FOUND);
	ck_assert_int_eq(schema->root->logical, LOGICAL_TIMESTAMP_MICROS);
	ck_assert_int_eq(registry_get(r, &FINGERPRINT(logical), &again, &err), REGISTRY_FOUND);
	ck_assert_ptr_eq(again, schema);
	ck_assert_int_eq(registry_get(r, &FINGERPRINT(UINT64_C(0x00ddba11deadbeef)), &again, &err),
			 REGISTRY_FOUND);
	ck_assert_ptr_eq(again, schema);
	ck_assert_int_eq(registry_get(r, &FINGERPRINT(UINT64_C(0x1234567890123456)), &again, &err),
			 REGISTRY_UNKNOWN);
	ck_assert_msg(strstr(err.text, "1234567890123456.avsc"), "%s", err.text);
	schema_free(own);
	registry_free(r);
}
END_TEST

/*
 * Apicurio's ids are looked up as numbers of the registry's if the config says that they are, by
 * kind; else nobody is asked, and the text says what to set.
 */
START_TEST(apicurio_ids)
{
	static const enum registry_answer want[][3] = {
		[APICURIO_NONE] = {REGISTRY_INVALID, REGISTRY_INVALID, REGISTRY_INVALID},
		[APICURIO_CONTENT] = {REGISTRY_FOUND, REGISTRY_INVALID, REGISTRY_FOUND},
		[APICURIO_GLOBAL] = {REGISTRY_FOUND, REGISTRY_FOUND, REGISTRY_INVALID},
	};
	const struct schema *schema;
	struct err err;
	stub_page(stub, "/schemas/ids/7", 200, STRING_SCHEMA);
	for (int ids = APICURIO_NONE; ids <= APICURIO_GLOBAL; ids++) {
		config.registry_apicurio_ids = (enum apicurio_ids)ids;
		struct registry *r = start();
		for (int i = 0; i < 3; i++) {
			struct schema_id id = {.kind = SCHEMA_ID_APICURIO + (uint64_t)i,
					       .number = 7};
			ck_assert_int_eq(get_id(r, &id, &schema, &err, 5000), want[ids][i]);
			if (want[ids][i] == REGISTRY_INVALID)
				ck_assert_msg(strstr(err.text, "registry.apicurio_ids") &&
						      strstr(err.text, "apicurio.registry.use-id"),
					      "%s", err.text);
		}
		struct schema_id name = {.kind = SCHEMA_ID_APICURIO_NAME};
		ck_assert_int_eq(registry_get(r, &name, &schema, &err), REGISTRY_INVALID);
		registry_free(r);
	}
	ck_assert_int_eq(atomic_load(&stub->requests), 2);
}
END_TEST

/*
 * What is not there is registered, under an escaped subject, with the schema as a string; a refusal
 * is the operator's to solve.
 */
START_TEST(registering)
{
	struct err err;
	uint32_t id = 0;
	bool is_new = false;
	stub_page(stub, "/subjects/my topic-value/versions", 200, "{\"id\":42}");
	stub_page(stub, "/subjects/other/versions", 409,
		  "{\"error_code\":409,\"message\":\"incompatible\"}");
	ck_assert_msg(registry_find(&config, "my topic-value", "\"string\"", &is_new, &id, &err),
		      "%s", err.text);
	ck_assert(is_new);
	ck_assert_uint_eq(id, 42);
	ck_assert_str_eq(stub->posted, "{\"schema\":\"\\\"string\\\"\"}");
	ck_assert(!registry_find(&config, "other", "\"string\"", &is_new, &id, &err));
	ck_assert(!is_new);
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "incompatible"));
	ck_assert_ptr_nonnull(strstr(err.text, "other"));
}
END_TEST

/*
 * What is there is taken and not registered again; and who may not register is told what is
 * missing, and nothing is registered.
 */
START_TEST(finding)
{
	struct err err;
	uint32_t id = 0;
	bool is_new = false;
	stub_page(stub, "/subjects/there-value", 200, "{\"id\":7,\"version\":1}");
	ck_assert(registry_find(&config, "there-value", "\"string\"", &is_new, &id, &err));
	ck_assert(!is_new);
	ck_assert_uint_eq(id, 7);
	ck_assert(registry_find(&config, "there-value", "\"string\"", NULL, &id, &err));
	int before = atomic_load(&stub->requests);
	ck_assert(!registry_find(&config, "new-value", "\"string\"", NULL, &id, &err));
	ck_assert_int_eq(atomic_load(&stub->requests), before + 1);
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "new-value"));
	ck_assert_ptr_nonnull(strstr(err.text, "--no-register"));
}
END_TEST

/* Ping: "not found" is as good an answer as a schema; nobody there is RETRY. */
START_TEST(pinging)
{
	struct err err;
	ck_assert(registry_ping(&config, &err));
	char dead[64];
	dead_url(dead, sizeof(dead));
	urls[0] = dead;
	ck_assert(!registry_ping(&config, &err));
	ck_assert_int_eq(err.class, ERR_RETRY);
	ck_assert_ptr_nonnull(strstr(err.text, dead));
	ck_assert_int_gt((int)strlen(registry_library_version()), 0);
}
END_TEST

static Suite *registry_suite(void)
{
	const TTest *const tests[] = {
		pending_then_found,
		unknown_is_asked_again,
		no_id_at_all,
		down_then_up,
		failover_is_sticky,
		timeout_is_no_answer,
		free_ends_a_request,
		password_is_read_again,
		token_is_sent,
		no_secret_in_messages,
		oversized_is_invalid,
		invalid_schemas,
		references,
		inlining,
		redirects,
		folder_first,
		stream_files,
		guids,
		registry_without_guids,
		guid_in_the_folder,
		fingerprints,
		apicurio_ids,
		registering,
		finding,
		pinging,
	};
	Suite *s = suite_create("registry");
	TCase *t = tcase_create("registry");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, unknown_is_remembered, 0, 3);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(registry_suite)
