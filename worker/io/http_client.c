/*
 * http_client.c - HTTP through libcurl, the only file that includes its header.
 *
 * A request is a transfer of curl's multi interface, because that has what the easy one lacks:
 * several transfers at a time, connections that outlive them, and curl_multi_poll(), which waits
 * for the sockets, for curl's own deadlines and for http_client_wake(), so it is the one wait of
 * the thread, both with requests under way and without.
 *
 *   request --http_client_start()--> multi --done--> the answer is in the request
 *                                  ^  perform, wait  |
 *                                  '-----------------'
 *
 * Knows nothing of what answers mean: a status of 500 is an answer like any other.
 *
 * Bounds: a deadline and a size per request, three redirects which keep to the scheme of the URL,
 * and credentials go to no other host (curl's default). Secrets appear in no message: curl's texts
 * do not have them, and URLs are shown without user and password.
 *
 * Thread: the owner's; stop is atomic. Failure: an error value in the request, the caller decides
 * and logs.
 */
#include "io/http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { MAX_REDIRECTS = 3, FOREVER_MS = 3600 * 1000, MOST_RETRY_AFTER_S = 3600 };

struct http_client {
	CURLM *multi;
	atomic_bool stop;
};

/* One request on its way. */
struct transfer {
	struct http_request *request;
	CURL *easy;
	struct curl_slist *headers;
	char detail[CURL_ERROR_SIZE];
};

static void global_init(void)
{
	curl_global_init_mem(CURL_GLOBAL_DEFAULT, xmalloc, free, xrealloc, xstrdup, xcalloc);
}

struct http_client *http_client_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, global_init);
	struct http_client *c = xcalloc(1, sizeof(*c));
	c->multi = curl_multi_init();
	return c;
}

void http_client_free(struct http_client *c)
{
	if (c == NULL)
		return;
	curl_multi_cleanup(c->multi);
	free(c);
}

/* --- one transfer --- */

/* Fewer bytes taken than given end the transfer. */
static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct http_request *r = ctx;
	if (r->body.len + size * n > r->max_bytes) {
		r->too_large = true;
		return 0;
	}
	buf_put(&r->body, data, size * n);
	return size * n;
}

/* A redirect must not lead from https to http. */
static void restrict_protocols(CURL *easy, const char *url)
{
	bool tls = strncmp(url, "https:", 6) == 0;
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(tls ? CURLPROTO_HTTPS : CURLPROTO_HTTP));
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS,
			 (long)(tls ? CURLPROTO_HTTPS : CURLPROTO_HTTP));
#endif
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
	curl_easy_setopt(easy, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
}

/* Basic or bearer, never both; the CA goes for this server alone. */
static void set_identity(CURL *easy, const struct http_request *r)
{
	if (r->user != NULL) {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERNAME, r->user);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, r->password != NULL ? r->password : "");
	} else if (r->token != NULL) {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
		curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, r->token);
	}
	if (r->ca != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, r->ca);
	if (r->cert != NULL)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, r->cert);
	if (r->key != NULL)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, r->key);
}

/* curl copies the line. */
static void add_header(struct transfer *t, const char *name, const char *value)
{
	if (value == NULL)
		return;
	char *line = xasprintf("%s: %s", name, value);
	t->headers = curl_slist_append(t->headers, line);
	free(line);
}

static void set_headers(struct transfer *t)
{
	add_header(t, "Accept", t->request->accept);
	add_header(t, "Content-Type", t->request->type);
	t->headers = curl_slist_append(t->headers, "Expect:"); /* no round trip before a body */
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

/* "given up" is what it ends with if nobody sets another end. */
void http_client_start(struct http_client *c, struct http_request *r)
{
	struct transfer *t = xcalloc(1, sizeof(*t));
	CURL *easy = curl_easy_init();
	long timeout_ms = (long)MAX(r->timeout_us / US_PER_MS, 1);
	*t = (struct transfer){.request = r, .easy = easy};
	r->transfer = t;
	r->answered = r->too_large = r->sent = false;
	r->status = 0;
	r->retry_after_us = 0;
	r->body.len = 0;
	err_set(&r->err, ERR_RETRY, "given up on request");
	curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->detail);
	curl_easy_setopt(easy, CURLOPT_URL, r->url);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "memingest/" MEMINGEST_VERSION);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	restrict_protocols(easy, r->url);
	set_identity(easy, r);
	set_headers(t);
	if (r->post != NULL)
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->post);
	curl_multi_add_handle(c->multi, easy);
}

/*
 * Somebody has to act: a certificate that is not trusted, or one of ours that can not be used or
 * that the server does not take (an alert, if it says so before it hangs up).
 */
static bool is_tls_trouble(CURLcode rc, const char *detail)
{
	return strstr(detail, " alert ") != NULL || rc == CURLE_PEER_FAILED_VERIFICATION ||
	       rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_SSL_CERTPROBLEM ||
	       rc == CURLE_SSL_ISSUER_ERROR;
}

void http_client_drop(struct http_client *c, struct http_request *r)
{
	struct transfer *t = r->transfer;
	if (!t)
		return;
	curl_multi_remove_handle(c->multi, t->easy);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	free(t);
	r->transfer = NULL;
}

/* A body that was too large is an answer all the same. */
static void transfer_done(struct http_client *c, struct transfer *t, CURLcode rc)
{
	struct http_request *r = t->request;
	curl_off_t seconds = 0;
	long connects = 0, sent = 0;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &r->status);
	curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &seconds);
	curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
	r->connected = connects > 0;
	r->sent = sent > 0;
	r->retry_after_us = (int64_t)MIN(seconds, (curl_off_t)MOST_RETRY_AFTER_S) * US_PER_S;
	r->answered = rc == CURLE_OK || r->too_large;
	if (r->answered)
		err_clear(&r->err);
	else
		err_set(&r->err, is_tls_trouble(rc, t->detail) ? ERR_CONFIG : ERR_RETRY, "%s",
			t->detail[0] != '\0' ? t->detail : curl_easy_strerror(rc));
	http_client_drop(c, r);
}

/* Those that were cut short by a stop have no message and stay "given up". */
static void take_done(struct http_client *c)
{
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left)) != NULL;) {
		char *transfer = NULL;
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &transfer);
		transfer_done(c, (struct transfer *)(void *)transfer, m->data.result);
	}
}

void http_client_turn(struct http_client *c)
{
	int running;
	curl_multi_perform(c->multi, &running);
	take_done(c);
}

/* All at the same time; a stop ends all of them. */
void http_client_run(struct http_client *c, struct http_request *requests, size_t n)
{
	int running = 1;
	for (size_t i = 0; i < n; i++)
		http_client_start(c, &requests[i]);
	while (!http_client_stopped(c)) {
		if (curl_multi_perform(c->multi, &running) != CURLM_OK || running == 0)
			break;
		http_client_wait(c, CLOCK_NEVER);
	}
	take_done(c);
	for (size_t i = 0; i < n; i++)
		http_client_drop(c, &requests[i]);
}

/* --- waiting --- */

/* fd -1: none. curl shortens the wait to its own next deadline; an hour stands for "never". */
void http_client_wait_for(struct http_client *c, int fd, int64_t deadline_us)
{
	struct curl_waitfd more = {.fd = fd, .events = CURL_WAIT_POLLIN};
	int ms = clock_poll_ms(deadline_us);
	if (!http_client_stopped(c))
		curl_multi_poll(c->multi, &more, fd >= 0, ms < 0 ? FOREVER_MS : ms, NULL);
}

void http_client_wait(struct http_client *c, int64_t deadline_us)
{
	http_client_wait_for(c, -1, deadline_us);
}

void http_client_wake(struct http_client *c)
{
	curl_multi_wakeup(c->multi);
}

void http_client_stop(struct http_client *c)
{
	atomic_store(&c->stop, true);
	curl_multi_wakeup(c->multi);
}

bool http_client_stopped(struct http_client *c)
{
	return atomic_load(&c->stop);
}

/* --- URLs --- */

/* For one segment of a path. The caller frees it. */
char *http_escape(const char *segment)
{
	struct buf out = {0};
	for (const char *p = segment; *p != '\0'; p++) {
		bool plain = (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= 'a' && *p <= 'z') || strchr("-_.~", *p) != NULL;
		if (plain)
			buf_u8(&out, (uint8_t)*p);
		else
			buf_printf(&out, "%%%02X", (unsigned)(uint8_t)*p);
	}
	char *escaped = xstrdup(buf_cstr(&out));
	buf_free(&out);
	return escaped;
}

/* Without user and password, for logs. */
void http_shown_url(const char *url, char *out, size_t size)
{
	const char *host = strstr(url, "://");
	host = host != NULL ? host + 3 : url;
	const char *at = memrchr(host, '@', strcspn(host, "/?#")); /* a path may have one too */
	if (at != NULL)
		snprintf(out, size, "%.*s%s", (int)(host - url), url, at + 1);
	else
		snprintf(out, size, "%s", url);
}

const char *http_client_version(void)
{
	return curl_version_info(CURLVERSION_NOW)->version;
}
