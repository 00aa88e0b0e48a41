/*
 * registry_client.c - HTTP to the schema registry through libcurl, the only file that includes its header.
 *
 * One request at a time over a connection that stays open. A request is a transfer of curl's multi interface,
 * because that has what the easy one lacks: curl_multi_poll() waits for the sockets, for curl's own deadlines and
 * for registry_client_wake(), so it is the one wait of the thread, both with a request under way and without.
 *
 *   ask --> for each URL, the one that worked last first:
 *             send --200, or 4xx with a registry's error code------------> an answer: stay with this URL
 *                  --401, 403--> secrets read anew; changed? once more
 *                  --anything else: refused, timeout, 5xx, no JSON--> next URL
 *           none left --> failure, the last URL's reason
 *
 * An error code of a registry has five digits (40403) or is 409; a 404 of the web server in front has none, or 404,
 * and is a failure like any other. That matters: "not found" makes dead letters of events, so only the registry
 * itself may say it.
 *
 * Bounds: a deadline per request, MAX_ANSWER bytes, three redirects which keep to the scheme that the config says, and
 * credentials go to no other host (curl's default).
 *
 * Secrets are read at first use and again when refused. They appear in no message: URLs are shown without user and
 * password.
 *
 * Thread: the owner's; stop is atomic. Failure: always an error value, the caller decides and logs.
 */
#include "io/registry_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"

/* A schema of 1 MiB and the JSON around it. */
enum { MAX_ANSWER = 1024 * 1024 + 64 * 1024, MAX_REDIRECTS = 3, CODE_MIN = 10000, HTTP_CONFLICT = 409 };

struct registry_client {
	const struct config *config; /* borrowed */
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	size_t url; /* index of the one that answered last */
	bool secrets_read;
	char *password, *token;
	char detail[CURL_ERROR_SIZE];
	atomic_bool stop;
};

/* One transfer. */
struct transfer {
	const char *base; /* URL of the config */
	const char *path;
	const char *post; /* or NULL */
	struct buf body;
	bool too_large;
	long status;
};

static void global_init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct registry_client *registry_client_new(const struct config *config)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, global_init);
	struct registry_client *c = xcalloc(1, sizeof(*c));
	c->config = config;
	c->multi = curl_multi_init();
	c->easy = curl_easy_init();
	c->headers = curl_slist_append(NULL, "Accept: application/vnd.schemaregistry.v1+json, application/json");
	c->headers = curl_slist_append(c->headers, "Content-Type: application/vnd.schemaregistry.v1+json");
	c->headers = curl_slist_append(c->headers, "Expect:");
	return c;
}

/* A secret is overwritten before its memory goes back. */
static void forget(char *secret)
{
	if (secret == NULL)
		return;
	explicit_bzero(secret, strlen(secret));
	free(secret);
}

void registry_client_free(struct registry_client *c)
{
	if (c == NULL)
		return;
	curl_easy_cleanup(c->easy);
	curl_multi_cleanup(c->multi);
	curl_slist_free_all(c->headers);
	forget(c->password);
	forget(c->token);
	free(c);
}

/* --- secrets --- */

/* Replaces *secret; says if it is another one than before. */
static bool read_secret(char **secret, const char *value, const char *file, bool *changed, struct err *err)
{
	if (value == NULL && file == NULL)
		return true;
	char *fresh = config_secret(value, file, err);
	if (fresh == NULL)
		return false;
	*changed = *changed || *secret == NULL || strcmp(*secret, fresh) != 0;
	forget(*secret);
	*secret = fresh;
	return true;
}

static bool read_secrets(struct registry_client *c, bool *changed, struct err *err)
{
	const struct config *config = c->config;
	*changed = false;
	c->secrets_read =
		read_secret(&c->password, config->registry_password, config->registry_password_file, changed, err) &&
		read_secret(&c->token, config->registry_token, config->registry_token_file, changed, err);
	return c->secrets_read;
}

/* --- one transfer --- */

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	if (t->body.len + size * n > MAX_ANSWER) {
		t->too_large = true;
		return 0;
	}
	buf_put(&t->body, data, size * n);
	return size * n;
}

static void restrict_protocols(CURL *easy, const char *base)
{
	bool tls = strncmp(base, "https:", 6) == 0;
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(tls ? CURLPROTO_HTTPS : CURLPROTO_HTTP));
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, (long)(tls ? CURLPROTO_HTTPS : CURLPROTO_HTTP));
#endif
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
	curl_easy_setopt(easy, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
}

static void set_identity(struct registry_client *c)
{
	const struct config *config = c->config;
	if (config->registry_user != NULL) {
		curl_easy_setopt(c->easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		curl_easy_setopt(c->easy, CURLOPT_USERNAME, config->registry_user);
		curl_easy_setopt(c->easy, CURLOPT_PASSWORD, c->password != NULL ? c->password : "");
	} else if (c->token != NULL) {
		curl_easy_setopt(c->easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
		curl_easy_setopt(c->easy, CURLOPT_XOAUTH2_BEARER, c->token);
	}
	if (config->registry_ca != NULL)
		curl_easy_setopt(c->easy, CURLOPT_CAINFO, config->registry_ca);
	if (config->registry_cert != NULL)
		curl_easy_setopt(c->easy, CURLOPT_SSLCERT, config->registry_cert);
	if (config->registry_key != NULL)
		curl_easy_setopt(c->easy, CURLOPT_SSLKEY, config->registry_key);
}

/* curl_easy_reset() keeps the open connections. */
static void prepare(struct registry_client *c, struct transfer *t, const char *url)
{
	CURL *easy = c->easy;
	long timeout_ms = (long)MAX(c->config->registry_timeout_us / US_PER_MS, 1);
	curl_easy_reset(easy);
	c->detail[0] = '\0';
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->detail);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "memingest/" MEMINGEST_VERSION);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	restrict_protocols(easy, t->base);
	set_identity(c);
	if (t->post != NULL)
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t->post);
}

/* Runs the prepared transfer to its end, or until stop. */
static CURLcode run(struct registry_client *c)
{
	CURLcode result = CURLE_ABORTED_BY_CALLBACK;
	int running = 1;
	curl_multi_add_handle(c->multi, c->easy);
	while (!atomic_load(&c->stop)) {
		if (curl_multi_perform(c->multi, &running) != CURLM_OK || running == 0)
			break;
		registry_client_wait(c, CLOCK_NEVER);
	}
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left)) != NULL;)
		if (m->msg == CURLMSG_DONE)
			result = m->data.result;
	curl_multi_remove_handle(c->multi, c->easy);
	return result;
}

/* The URL without user and password, for people. */
static void shown_url(const char *url, char *out, size_t size)
{
	const char *host = strstr(url, "://");
	host = host != NULL ? host + 3 : url;
	const char *slash = strchr(host, '/'), *at = strrchr(host, '@');
	if (at != NULL && (slash == NULL || at < slash))
		snprintf(out, size, "%.*s%s", (int)(host - url), url, at + 1);
	else
		snprintf(out, size, "%s", url);
}

/* Sends and fills t. False: no HTTP answer at all. */
static bool send_once(struct registry_client *c, struct transfer *t, struct err *err)
{
	size_t base_len = strlen(t->base);
	while (base_len > 0 && t->base[base_len - 1] == '/')
		base_len--;
	char *url = xasprintf("%.*s%s", (int)base_len, t->base, t->path);
	t->body.len = 0;
	t->too_large = false;
	t->status = 0;
	prepare(c, t, url);
	CURLcode rc = run(c);
	free(url);
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &t->status);
	if (rc == CURLE_OK || t->too_large)
		return true;
	return err_set(err, ERR_RETRY, "%s", c->detail[0] != '\0' ? c->detail : curl_easy_strerror(rc));
}

/* --- what an answer means --- */

static bool refused(const struct transfer *t)
{
	return t->status == 401 || t->status == 403;
}

/* True: the registry has spoken. */
static bool read_reply(const struct transfer *t, struct registry_reply *reply, struct err *err)
{
	*reply = (struct registry_reply){.status = t->status, .too_large = t->too_large && t->status == 200};
	if (reply->too_large)
		return true;
	if (refused(t))
		return err_set(err, ERR_CONFIG,
			       "answered %ld: check user and password, or token, of section [registry]", t->status);
	json_t *json = json_loadb((const char *)t->body.data, t->body.len, JSON_DECODE_ANY, NULL);
	reply->code = json_integer_value(json_object_get(json, "error_code"));
	bool rejected =
		t->status >= 400 && t->status < 500 && (reply->code >= CODE_MIN || reply->code == HTTP_CONFLICT);
	if (rejected || (t->status == 200 && json != NULL)) {
		reply->json = json;
		return true;
	}
	json_decref(json);
	if (t->status == 200)
		return err_set(err, ERR_RETRY, "answered something that is not JSON");
	return err_set(err, ERR_RETRY, "answered status %ld", t->status);
}

/* One URL; a second time if we were refused and the secrets have changed meanwhile. */
static bool ask_one(struct registry_client *c, struct transfer *t, struct registry_reply *reply, struct err *err)
{
	bool changed = false;
	if (!c->secrets_read && !read_secrets(c, &changed, err))
		return false;
	bool sent = send_once(c, t, err);
	if (sent && refused(t)) {
		struct err secrets;
		if (read_secrets(c, &changed, &secrets) && changed)
			sent = send_once(c, t, err);
	}
	bool ok = sent && read_reply(t, reply, err);
	stats_add(METRIC_SCHEMA_REQUESTS, ok ? RESULT_OK : RESULT_ERROR, 0, 1);
	return ok;
}

bool registry_client_ask(struct registry_client *c, const char *path, const char *post, struct registry_reply *reply,
			 struct err *err)
{
	const struct config *config = c->config;
	struct transfer t = {.path = path, .post = post};
	bool ok = false;
	err_set(err, ERR_CONFIG, "no URL in section [registry]");
	for (size_t i = 0; i < config->nregistry_urls && !ok && !registry_client_stopped(c); i++) {
		size_t url = (c->url + i) % config->nregistry_urls;
		char shown[256];
		t.base = config->registry_urls[url];
		shown_url(t.base, shown, sizeof(shown));
		ok = ask_one(c, &t, reply, err);
		if (!ok)
			err_wrap(err, "schema registry %s", shown);
		else if (url != c->url)
			log_info("schema registry: another URL answers", F_STR("url", shown));
		if (ok)
			c->url = url;
	}
	buf_free(&t.body);
	return ok;
}

char *registry_client_escape(const char *segment)
{
	struct buf out = {0};
	for (const char *p = segment; *p != '\0'; p++) {
		bool plain = (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
			     strchr("-_.~", *p) != NULL;
		if (plain)
			buf_u8(&out, (uint8_t)*p);
		else
			buf_printf(&out, "%%%02X", (unsigned)(uint8_t)*p);
	}
	char *escaped = xstrdup(buf_cstr(&out));
	buf_free(&out);
	return escaped;
}

/* --- waiting --- */

void registry_client_wait(struct registry_client *c, int64_t deadline_us)
{
	int ms = clock_poll_ms(deadline_us);
	/* curl shortens this to its own next deadline; an hour stands for "never". */
	if (!atomic_load(&c->stop))
		curl_multi_poll(c->multi, NULL, 0, ms < 0 ? 3600 * 1000 : ms, NULL);
}

void registry_client_wake(struct registry_client *c)
{
	curl_multi_wakeup(c->multi);
}

void registry_client_stop(struct registry_client *c)
{
	atomic_store(&c->stop, true);
	curl_multi_wakeup(c->multi);
}

bool registry_client_stopped(struct registry_client *c)
{
	return atomic_load(&c->stop);
}

const char *registry_client_version(void)
{
	return curl_version_info(CURLVERSION_NOW)->version;
}
