/*
 * gateway.c - events by HTTP into the topics of the streams, for producers without Kafka: the whole
 * of it, wired together.
 *
 *   client --> door ----> job --> desk: events --> producer --> Kafka --> (workers) --> database
 *              threads     |                          |                                    |
 *                ^         '-- all or nothing         v reports                            |
 *                '----------------------------- delivery thread                            |
 *                '----------------------------- stored thread  <--- memingest.offsets -----'
 *                '----------------------------- requests thread (Idempotency-Key)
 *
 * A process of its own: what it needs is Kafka, and the database only for those who ask to wait for
 * it. It holds nothing that matters: what was answered with 2xx is in Kafka, what was not the
 * client has.
 *
 * The main thread opens the streams (topic, schemas: tried again every second until they are
 * there, while the others already take events), ends who is too slow, reads changed tokens, tells
 * the service manager, and drains at SIGTERM: no new connections, every request that has begun is
 * answered, then exit 0. What Kafka has not acknowledged when shutdown.timeout is over is answered
 * as unsure.
 *
 * Probes and metrics are another door's (io/httpd.c, http.listen), which no producer can fill.
 */
#include "gate/gateway.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "base/thread.h"
#include "core/stream.h"
#include "gate/job.h"
#include "gate/requests.h"
#include "gate/stored.h"
#include "io/httpd.h"
#include "io/kafka_client.h"
#include "io/notify.h"

enum { TURN_MS = 100, TOPIC_TIMEOUT_MS = 2000 };
#define OPEN_EVERY_US US_PER_S
#define LATE_END_US (2 * US_PER_S)

/*
 *   RUNNING --SIGTERM--> DRAINING --nothing left--> ENDED
 *                           '-- shutdown.timeout --> CUT --nothing left, or 2 s--> ENDED
 */
enum gateway_state { GATEWAY_RUNNING, GATEWAY_DRAINING, GATEWAY_CUT, GATEWAY_ENDED };

struct gateway {
	struct gate gate;
	struct httpd *httpd;
	struct notify *notify;
	pthread_t delivery;
	atomic_bool delivery_stop;
	atomic_int state; /* enum gateway_state: the main thread's to change */
	int signal_fd;
	int64_t open_due_us, drain_us, tell_due_us;
	bool tokens_wrong;
	bool unanswered; /* requests are left at the end */
	size_t beat;
};

/* --- streams --- */

static void tell_registered(const char *subject, uint32_t id)
{
	log_info("registered a schema", F_STR("subject", subject), F_INT("id", id));
}

static bool find_stream(struct gate *g, struct gate_stream *s, struct err *err)
{
	if (!s->topic)
		return err_set(err, ERR_CONFIG,
			       "stream.%s names its topics by pattern only, and the gateway writes "
			       "into one that is a name",
			       s->stream->config->name);
	return producer_sees_topic(g->producer, s->topic, TOPIC_TIMEOUT_MS, err) &&
	       envelope_find(&s->envelope, g->config, s->stream, s->topic, true, tell_registered,
			     err);
}

/* What is wrong is logged when it is new. */
static void open_streams(struct gateway *w)
{
	struct gate *g = &w->gate;
	int64_t missing = 0;
	for (size_t i = 0; i < g->nstreams; i++) {
		struct gate_stream *s = &g->streams[i];
		struct err err = {0};
		if (atomic_load(&s->ready))
			continue;
		bool ready = find_stream(g, s, &err);
		pthread_mutex_lock(&g->lock);
		bool other = !ready && (!s->trouble || strcmp(s->trouble, err.text) != 0);
		free(s->trouble);
		s->trouble = ready ? NULL : xstrdup(err.text);
		pthread_mutex_unlock(&g->lock);
		if (other)
			log_warn("stream not ready", F_STR("stream", s->stream->config->name),
				 F_STR("error", err.text));
		if (ready)
			log_info("stream ready", F_STR("stream", s->stream->config->name),
				 F_STR("topic", s->topic));
		atomic_store(&s->ready, ready);
		missing += !ready;
	}
	stats_set(METRIC_GATEWAY_NOT_READY, 0, 0, missing);
}

static bool stream_known(void *ctx, const char *name)
{
	const struct gate *g = ctx;
	for (size_t i = 0; i < g->config->nstreams; i++)
		if (strcmp(g->config->streams[i].name, name) == 0)
			return true;
	return false;
}

/* --- the delivery thread --- */

static void *deliver(void *arg)
{
	struct gateway *w = arg;
	size_t place = beat_join("delivery");
	while (!atomic_load(&w->delivery_stop)) {
		producer_poll(w->gate.producer, TURN_MS);
		beat(place);
	}
	beat_leave(place);
	return NULL;
}

/* --- probes and metrics --- */

static unsigned serve_metrics(void *ctx, struct buf *body)
{
	struct gate *g = &((struct gateway *)ctx)->gate;
	stats_set(METRIC_GATEWAY_MEMORY, 0, 0, (int64_t)door_memory(g->door));
	stats_set(METRIC_GATEWAY_CONNECTIONS, 0, 0, (int64_t)door_connections(g->door));
	stats_set(METRIC_GATEWAY_WAITING, 0, 0, (int64_t)stored_waiting(g->stored));
	stats_expose(body);
	return 200;
}

/* Ready for events of some stream: one that is not says so itself. */
static unsigned serve_readyz(void *ctx, struct buf *body)
{
	struct gateway *w = ctx;
	struct gate *g = &w->gate;
	bool any = false;
	if (atomic_load(&w->state) != GATEWAY_RUNNING) {
		buf_puts(body, "draining\n");
		return 503;
	}
	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < g->nstreams; i++) {
		any |= atomic_load(&g->streams[i].ready);
		if (g->streams[i].trouble)
			buf_printf(body, "stream %s: %s\n", g->streams[i].stream->config->name,
				   g->streams[i].trouble);
	}
	pthread_mutex_unlock(&g->lock);
	if (any)
		buf_puts(body, "ok\n");
	return any ? 200 : 503;
}

static bool open_http(struct gateway *w, struct err *err)
{
	static const char text[] = "text/plain; charset=utf-8";
	static const struct httpd_route routes[] = {
		{"/metrics", "text/plain; version=0.0.4; charset=utf-8", false, serve_metrics},
		{"/livez", text, true, beat_serve},
		{"/readyz", text, true, serve_readyz},
	};
	const struct config *c = w->gate.config;
	const struct httpd_options options = {.listen = c->gateway_http_listen,
					      .routes = routes,
					      .nroutes = ARRAY_LEN(routes),
					      .ctx = w,
					      .token_file = c->http_token_file};
	if (strcmp(c->gateway_http_listen, "off") == 0)
		return true;
	w->httpd = httpd_start(&options, err);
	if (w->httpd)
		log_info("listening for HTTP", F_STR("listen", c->gateway_http_listen),
			 F_INT("port", httpd_port(w->httpd)));
	return w->httpd != NULL;
}

/* --- set-up and tear-down --- */

static void name_stats(const struct config *c)
{
	stream_name_stats(c);
	stats_of_gateway();
	stats_set(METRIC_GATEWAY_MEMORY_LIMIT, 0, 0, (int64_t)c->gateway_memory);
}

static bool load_streams(struct gate *g, struct err *err)
{
	g->nstreams = g->config->nstreams;
	g->streams = xcalloc(g->nstreams, sizeof(*g->streams));
	for (size_t i = 0; i < g->nstreams; i++) {
		struct gate_stream *s = &g->streams[i];
		pthread_mutex_init(&s->lock, NULL);
		if (!(s->stream = stream_new(g->config, i, err)))
			return false;
		s->topic = envelope_topic(s->stream);
	}
	return true;
}

static bool open_door(struct gate *g, struct err *err)
{
	const struct config *c = g->config;
	const struct door_options options = {.setting = "gateway.listen",
					     .listen = c->gateway_listen,
					     .certificate_file = c->gateway_certificate_file,
					     .key_file = c->gateway_key_file,
					     .threads = c->gateway_threads,
					     .connections = c->gateway_max_connections,
					     .max_body = c->gateway_max_body,
					     .memory = c->gateway_memory,
					     .request_us = c->gateway_timeout_us,
					     .idle_us = 2 * c->gateway_timeout_us,
					     .ctx = g,
					     .head = job_head,
					     .body = job_body,
					     .refuse = job_refuse};
	g->door = door_open(&options, err);
	if (g->door)
		log_info("listening for events", F_STR("listen", c->gateway_listen),
			 F_INT("port", door_port(g->door)),
			 F_STR("tls", c->gateway_certificate_file ? "on" : "off"));
	return g->door != NULL;
}

/* What fails leaves gateway_close() to undo what there is. */
static bool gateway_open(struct gateway *w, struct err *err)
{
	struct gate *g = &w->gate;
	const struct config *c = g->config;
	static const int signals[] = {SIGTERM, SIGINT};
	signal(SIGPIPE, SIG_IGN);
	w->signal_fd = thread_signals(signals, ARRAY_LEN(signals)); /* before any thread starts */
	if (w->signal_fd < 0)
		return err_set(err, ERR_FATAL, "signalfd: %s", strerror(errno));
	name_stats(c);
	if (!load_streams(g, err) ||
	    !(g->tokens = tokens_open(c->gateway_token_file, stream_known, g, err)) ||
	    !(g->producer = producer_new_prompt(c, c->gateway_timeout_us, job_report, g, err)))
		return false;
	g->max_message = producer_max_message(g->producer);
	thread_start(&w->delivery, deliver, w);
	g->stored = stored_start(c);
	g->requests = requests_start(c);
	w->notify = notify_open();
	return open_door(g, err) && open_http(w, err);
}

static void gateway_close(struct gateway *w)
{
	struct gate *g = &w->gate;
	httpd_stop(w->httpd);
	door_close(g->door);
	requests_stop(g->requests);
	stored_stop(g->stored);
	atomic_store(&w->delivery_stop, true);
	if (w->delivery)
		pthread_join(w->delivery, NULL);
	producer_free(g->producer);
	tokens_free(g->tokens);
	for (size_t i = 0; i < g->nstreams; i++) {
		struct gate_stream *s = &g->streams[i];
		while (s->ndesks > 0)
			desk_free(s->desks[--s->ndesks]);
		stream_free(s->stream);
		free(s->trouble);
		pthread_mutex_destroy(&s->lock);
	}
	free(g->streams);
	notify_close(w->notify);
	if (w->signal_fd > 0)
		close(w->signal_fd);
	pthread_mutex_destroy(&g->lock);
	beat_leave(w->beat);
}

/* --- the main loop --- */

static void take_signals(struct gateway *w)
{
	struct signalfd_siginfo info;
	while (read(w->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (atomic_load(&w->state) != GATEWAY_RUNNING)
			continue;
		log_info("draining", F_INT("signal", info.ssi_signo));
		atomic_store(&w->state, GATEWAY_DRAINING);
		w->drain_us = clock_mono_us();
		notify_send(w->notify, "STOPPING=1");
	}
}

static void refresh_tokens(struct gateway *w)
{
	struct err err = {0};
	bool ok = tokens_refresh(w->gate.tokens, &err);
	if (!ok && !w->tokens_wrong)
		log_error("the tokens are not read anew, those that were known count on",
			  F_STR("error", err.text));
	w->tokens_wrong = !ok;
}

static void tell_manager(struct gateway *w)
{
	struct buf silent = {0};
	if (notify_watchdog(w->notify) && beat_all(&silent))
		notify_send(w->notify, "WATCHDOG=1");
	buf_free(&silent);
}

/* What is due once a second. */
static void every_second(struct gateway *w)
{
	if (clock_mono_us() < w->open_due_us)
		return;
	open_streams(w);
	refresh_tokens(w);
	tell_manager(w);
	w->open_due_us = clock_mono_us() + OPEN_EVERY_US;
}

/* One step on the way out. */
static void drain(struct gateway *w)
{
	struct gate *g = &w->gate;
	int64_t took = clock_mono_us() - w->drain_us;
	int64_t timeout = g->config->shutdown_timeout_us;
	bool empty = door_drain(g->door);
	w->unanswered = !empty && took > timeout + LATE_END_US;
	if (empty || w->unanswered) {
		atomic_store(&w->state, GATEWAY_ENDED);
		return;
	}
	if (took <= timeout)
		return;
	if (atomic_load(&w->state) == GATEWAY_DRAINING)
		log_warn("not all requests were decided within shutdown.timeout, the rest is "
			 "answered as it stands");
	atomic_store(&w->state, GATEWAY_CUT);
	producer_drop(g->producer);
	if (g->requests)
		requests_cut(g->requests);
	stored_expire(g->stored, true);
}

static void turn(struct gateway *w)
{
	struct gate *g = &w->gate;
	struct pollfd fd = {.fd = w->signal_fd, .events = POLLIN};
	bool running = atomic_load(&w->state) == GATEWAY_RUNNING;
	poll(&fd, 1, running ? TURN_MS : 10);
	beat(w->beat);
	take_signals(w);
	door_sweep(g->door);
	stored_expire(g->stored, false);
	if (g->requests)
		requests_expire(g->requests);
	if (running)
		every_second(w);
	if (atomic_load(&w->state) != GATEWAY_RUNNING)
		drain(w);
}

int gateway_run(const struct config *config)
{
	struct gateway w = {.gate = {.config = config}, .beat = beat_join("main")};
	struct err err = {0};
	int code = EXIT_OK;
	pthread_mutex_init(&w.gate.lock, NULL);
	if (!gateway_open(&w, &err)) {
		log_error("the gateway can not start", F_STR("error", err.text));
		code = err.class == ERR_FATAL ? EXIT_INTERNAL : EXIT_CONFIG;
	} else {
		log_info("running", F_INT("streams", w.gate.nstreams));
		notify_send(w.notify, "READY=1");
		while (atomic_load(&w.state) != GATEWAY_ENDED)
			turn(&w);
	}
	if (w.unanswered) { /* they are other threads' still, so nothing can be taken from them */
		log_error("requests are left that could not be answered");
		_exit(EXIT_AGAIN);
	}
	gateway_close(&w);
	log_info("stopped", F_INT("exit_code", code));
	return code;
}
