/*
 * fleet.c - finds the workers' addresses and reads their /status.
 *
 *   "10.0.0.7:9464"  "http://10.0.0.7:9464/"  "https://gateway/w/3"     --> ".../status"
 *   no argument: the worker of this machine's config, by http.listen
 *
 * A worker that does not answer, or answers something else than its status, is shown as such; the
 * others go on. Two looks are kept, because rates are differences.
 */
#include "cli/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/http_client.h"
#include "io/httpd.h"

/* A partition is about 300 bytes of the document: enough for a worker that has 100,000. */
#define MAX_BODY (size_t)(32 * 1024 * 1024)

/* Whatever people type for an address. */
static char *status_url(const char *address)
{
	const char *scheme = strstr(address, "://") ? "" : "http://";
	size_t len = strlen(address);
	while (len > 0 && address[len - 1] == '/')
		len--;
	bool whole = len > 7 && strncmp(address + len - 7, "/status", 7) == 0;
	return xasprintf("%s%.*s%s", scheme, (int)len, address, whole ? "" : "/status");
}

/* "http://10.0.0.7:9464/status" -> "10.0.0.7:9464" */
static char *short_name(const char *url)
{
	char shown[256];
	http_shown_url(url, shown, sizeof(shown));
	const char *host = strstr(shown, "://");
	host = host ? host + 3 : shown;
	size_t len = strlen(host);
	if (len > 7 && strcmp(host + len - 7, "/status") == 0)
		len -= 7;
	return xasprintf("%.*s", (int)len, host);
}

static void add_worker(struct fleet *f, const char *address)
{
	struct fleet_worker *w = &f->workers[f->n++];
	w->url = status_url(address);
	w->name = short_name(w->url);
}

/* user:password@ before the host: what is an argument, everybody can read. */
static bool has_password(const char *address)
{
	const char *host = strstr(address, "://");
	host = host ? host + 3 : address;
	size_t len = strcspn(host, "/?#");
	const char *at = memrchr(host, '@', len);
	return at && memchr(host, ':', (size_t)(at - host));
}

/*
 * Workers may be named without any config, and so may be looked at from anywhere; then a config
 * with mistakes is as good as none, unless its token is wanted, see read_answer().
 */
static bool take_token(struct fleet *f, struct cli *cli, int *code)
{
	struct err err = {0};
	struct buf findings = {0};
	bool loaded = cli->config || cli_load_config(cli, &findings, &err);
	buf_free(&findings);
	err_clear(&err);
	if (!loaded || !cli->config->http_token_file)
		return true;
	f->token = config_secret(NULL, cli->config->http_token_file, &err);
	if (!f->token)
		*code = cli_fail(EXIT_CONFIG, "http.token_file: %s", err.text);
	return f->token != NULL;
}

/* Without arguments this machine's own worker. */
bool fleet_open(struct fleet *f, struct cli *cli, int *code)
{
	struct err err = {0};
	char own[300];
	*f = (struct fleet){.workers = xcalloc((size_t)cli->argc + 1, sizeof(*f->workers))};
	for (int i = 0; i < cli->argc; i++) {
		if (has_password(cli->argv[i])) {
			*code = cli_fail(EXIT_USAGE,
					 "a password among the arguments can be read by everybody "
					 "on this machine: use http.token_file");
			return false;
		}
		add_worker(f, cli->argv[i]);
	}
	if (cli->argc == 0) {
		if (!cli_need_config(cli)) {
			*code = EXIT_CONFIG;
			return false;
		}
		if (!httpd_own_address(cli->config->http_listen, own, sizeof(own), &err)) {
			*code = cli_fail(EXIT_CONFIG,
					 "%s; name the worker: memingest COMMAND HOST:PORT",
					 err.text);
			return false;
		}
		add_worker(f, own);
	}
	f->http = http_client_new();
	return take_token(f, cli, code);
}

void fleet_close(struct fleet *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->workers[i].name);
		free(f->workers[i].url);
		json_decref(f->workers[i].now);
		json_decref(f->workers[i].before);
		buf_free(&f->workers[i].body);
	}
	http_client_free(f->http);
	if (f->token)
		explicit_bzero(f->token, strlen(f->token));
	free(f->token);
	free(f->workers);
	*f = (struct fleet){0};
}

/* What came of one request: the document, or the reason why there is none. */
static json_t *read_answer(const struct http_request *r, char *error, size_t size)
{
	json_t *json = NULL;
	error[0] = '\0';
	if (!r->answered)
		snprintf(error, size, "no answer: %s", r->err.text);
	else if (r->status == 401)
		snprintf(error, size, "%s (HTTP 401)",
			 r->token ? "does not take the token of this config's http.token_file"
				  : "wants a token: name a config that has http.token_file (-c "
				    "FILE)");
	else if (r->too_large || r->status != 200)
		snprintf(error, size, "%s (HTTP %ld)",
			 r->too_large ? "answers too much" : "is no memingest worker", r->status);
	else if (!(json = json_loadb((const char *)r->body.data, r->body.len, 0, NULL)) ||
		 !json_is_array(json_object_get(json, "partitions"))) {
		snprintf(error, size, "is no memingest worker: the answer is not its status");
		json_decref(json);
		json = NULL;
	}
	return json;
}

/* Each keeps its own answer; one that is silent costs the others only the timeout. */
void fleet_look(struct fleet *f, int64_t timeout_us)
{
	struct http_request *requests = xcalloc(f->n, sizeof(*requests));
	for (size_t i = 0; i < f->n; i++)
		requests[i] = (struct http_request){.url = f->workers[i].url,
						    .accept = "application/json",
						    .token = f->token,
						    .timeout_us = timeout_us,
						    .max_bytes = MAX_BODY,
						    .body = f->workers[i].body};
	http_client_run(f->http, requests, f->n);
	for (size_t i = 0; i < f->n; i++) {
		struct fleet_worker *w = &f->workers[i];
		json_decref(w->before);
		w->before = w->now;
		w->body = requests[i].body;
		w->now = read_answer(&requests[i], w->error, sizeof(w->error));
	}
	free(requests);
}

/* The worst of them. */
int fleet_exit_code(const struct fleet *f)
{
	int code = EXIT_OK;
	for (size_t i = 0; i < f->n; i++) {
		if (!f->workers[i].now)
			return EXIT_UNAVAILABLE;
		if (!json_is_true(json_object_get(f->workers[i].now, "ready")))
			code = EXIT_AGAIN;
	}
	return code;
}
