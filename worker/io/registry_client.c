/*
 * registry_client.c - requests to the schema registry: which URL, who we are, and what counts as an
 * answer.
 *
 *   ask --> for each URL, the one that worked last first:
 *             send --200, or 4xx with a registry's error code--> an answer: stay with this URL
 *                  --401, 403--> secrets read anew; changed? once more
 *                  --anything else: refused, timeout, 5xx, no JSON--> next URL
 *           none left --> failure, the last URL's reason
 *
 * An error code of a registry has five digits (40403) or is 409; a 404 of its web server, or of a
 * proxy in front, has none, or 404. That one is no answer while another URL has a better one, but
 * it is remembered: a registry says so too, of a path that it cannot read.
 *
 * One request at a time. Bounds: a deadline per request, MAX_ANSWER bytes. Secrets are read at
 * first use and again when refused. They appear in no message.
 *
 * Thread: the owner's; stop is atomic. Failure: always an error value, the caller decides and logs.
 */
#include "io/registry_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "io/http_client.h"

#define MEDIA_TYPE "application/vnd.schemaregistry.v1+json"

/* A schema of 1 MiB and the JSON around it. */
enum { MAX_ANSWER = 1024 * 1024 + 64 * 1024, CODE_MIN = 10000, HTTP_CONFLICT = 409 };

struct registry_client {
	const struct config *config; /* borrowed */
	struct http_client *http;
	size_t url; /* index of the one that answered last */
	bool secrets_read;
	bool missed; /* see registry_client_missed() */
	char *password, *token;
};

struct registry_client *registry_client_new(const struct config *config)
{
	struct registry_client *c = xcalloc(1, sizeof(*c));
	c->config = config;
	c->http = http_client_new();
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
	http_client_free(c->http);
	forget(c->password);
	forget(c->token);
	free(c);
}

/* --- secrets --- */

/* Replaces *secret; says if it is another one than before. */
static bool read_secret(char **secret, const char *value, const char *file, bool *changed,
			struct err *err)
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
	c->secrets_read = read_secret(&c->password, config->registry_password,
				      config->registry_password_file, changed, err) &&
			  read_secret(&c->token, config->registry_token,
				      config->registry_token_file, changed, err);
	return c->secrets_read;
}

/* --- one request --- */

/* Sends and fills r. False: no HTTP answer at all. */
static bool send_once(struct registry_client *c, struct http_request *r, struct err *err)
{
	const struct config *config = c->config;
	r->user = config->registry_user;
	r->password = c->password;
	r->token = c->token;
	r->ca = config->registry_ca;
	r->cert = config->registry_cert;
	r->key = config->registry_key;
	int64_t start = clock_mono_us();
	http_client_run(c->http, r, 1);
	stats_observe(METRIC_SCHEMA_REQUEST_SECONDS, 0, clock_mono_us() - start);
	*err = r->err;
	if (err->class == ERR_CONFIG)
		err_set(err, ERR_CONFIG,
			"%s; look at registry.ca (whom to trust), registry.cert and key (ours), "
			"and at the names and dates in the registry's certificate",
			err->text);
	return r->answered;
}

/* --- what an answer means --- */

static bool refused(const struct http_request *t)
{
	return t->status == 401 || t->status == 403;
}

/* True: the registry has spoken. */
static bool read_reply(const struct http_request *t, struct registry_reply *reply, struct err *err)
{
	*reply = (struct registry_reply){.status = t->status,
					 .too_large = t->too_large && t->status == 200};
	if (reply->too_large)
		return true;
	if (refused(t))
		return err_set(
			err, ERR_CONFIG,
			"answered %ld: check user and password, or token, of section [registry]",
			t->status);
	json_t *json = json_loadb((const char *)t->body.data, t->body.len, JSON_DECODE_ANY, NULL);
	reply->code = json_integer_value(json_object_get(json, "error_code"));
	bool rejected = t->status >= 400 && t->status < 500 &&
			(reply->code >= CODE_MIN || reply->code == HTTP_CONFLICT);
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
static bool ask_one(struct registry_client *c, struct http_request *t, struct registry_reply *reply,
		    struct err *err)
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
	bool missed = sent && !ok && t->status == 404;
	c->missed |= missed;
	stats_add(METRIC_SCHEMA_REQUESTS, ok || missed ? RESULT_OK : RESULT_ERROR, 0, 1);
	return ok;
}

static char *whole_url(const char *base, const char *path)
{
	size_t len = strlen(base);
	while (len > 0 && base[len - 1] == '/')
		len--;
	return xasprintf("%.*s%s", (int)len, base, path);
}

bool registry_client_ask(struct registry_client *c, const char *path, const char *post,
			 struct registry_reply *reply, struct err *err)
{
	const struct config *config = c->config;
	struct http_request t = {.post = post,
				 .accept = MEDIA_TYPE ", application/json",
				 .type = MEDIA_TYPE,
				 .timeout_us = config->registry_timeout_us,
				 .max_bytes = MAX_ANSWER};
	bool ok = false;
	c->missed = false;
	err_set(err, ERR_CONFIG, "no URL in section [registry]");
	for (size_t i = 0; i < config->nregistry_urls && !ok && !registry_client_stopped(c); i++) {
		size_t url = (c->url + i) % config->nregistry_urls;
		char shown[256];
		char *whole = whole_url(config->registry_urls[url], path);
		http_shown_url(config->registry_urls[url], shown, sizeof(shown));
		t.url = whole;
		ok = ask_one(c, &t, reply, err);
		free(whole);
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

bool registry_client_missed(const struct registry_client *c)
{
	return c->missed;
}

/* --- waiting --- */

void registry_client_wait(struct registry_client *c, int64_t deadline_us)
{
	http_client_wait(c->http, deadline_us);
}

void registry_client_wake(struct registry_client *c)
{
	http_client_wake(c->http);
}

void registry_client_stop(struct registry_client *c)
{
	http_client_stop(c->http);
}

bool registry_client_stopped(struct registry_client *c)
{
	return http_client_stopped(c->http);
}
