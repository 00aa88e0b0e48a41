/*
 * model.c - requests to one model, as many and as large as it takes.
 *
 *   want --> text --+-- in memory?    settled
 *                   +-- in database?  settled
 *                   '-- queue --> request --> answer: settled, kept
 *                                         '-> refused: in halves; alone, twice: settled without
 *
 * Before anything it has to show that it is the model whose vectors the tables hold: a fixed text,
 * the canary, is made into what it was made into when the model was first seen, or nearly. So it
 * does after each trouble and each new connection, as those are what shows of a server that was
 * replaced, and now and then.
 *
 *   NEW --asked--> PROVING --as it was--> READY --any trouble--> NEW, WAITS or HALTED
 *    ^               |  |
 *    |               |  '--busy, away, odd, the database does not answer--> WAITS --due--> NEW
 *    |               '--401, another model, another dimension-----------> HALTED --due--> NEW
 *    '--------- a failure with no success beside it: whose fault is it?
 *
 * Answers come in several at a time: one may bring the doubt that makes it NEW, and the next one,
 * or the very same, trouble.
 *
 * The canary is also the witness when texts are refused: a text is at fault only if the model took
 * something else in between.
 *
 * Vectors that come while it is in doubt are held until it has shown that it is what it was, so
 * that those of a server that was replaced meanwhile land nowhere.
 *
 * Requests at a time: halved when the model is busy, one more after as many successes as there are.
 *
 * Thread: the embedder's. Memory: cache_memory, and for each request its texts and its answer; the
 * texts that wait are within their batches.
 */
#include "embed/model.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"

#define CANARY "The quick brown fox jumps over the lazy dog."
#define ALIKE 0.999
#define BACKOFF_FIRST_US (200 * US_PER_MS)
#define BACKOFF_MOST_US (10 * US_PER_S)
#define HALTED_US (3 * US_PER_S)
#define PRUNE_EVERY_US (60 * US_PER_S)
#define PRUNE_MORE_US (200 * US_PER_MS)
#define PROVE_EVERY_US (600 * US_PER_S)
#define LOOK_UP_MOST 500
#define STUCK 3

struct request {
	struct embed_call *call;
	struct text **texts;
	size_t n; /* 0: the canary */
	uint64_t number, successes;
	int64_t begun_us;
	bool judged;
	struct request *next;
};

static const struct {
	const char *name;
	unsigned next;
} states[MODEL_STATES] = {
	[MODEL_NEW] = {"new", 1u << MODEL_PROVING | 1u << MODEL_WAITS | 1u << MODEL_HALTED},
	[MODEL_PROVING] = {"proving", 1u << MODEL_READY | 1u << MODEL_WAITS | 1u << MODEL_HALTED |
					      1u << MODEL_NEW},
	[MODEL_READY] = {"ready", 1u << MODEL_NEW | 1u << MODEL_WAITS | 1u << MODEL_HALTED},
	[MODEL_WAITS] = {"waits", 1u << MODEL_NEW | 1u << MODEL_HALTED},
	[MODEL_HALTED] = {"halted", 1u << MODEL_NEW},
};

const char *model_state_name(enum model_state state)
{
	return states[state].name;
}

static void set_state(struct model *m, enum model_state state)
{
	assert(states[m->state].next & 1u << state);
	m->state = state;
}

void model_open(struct model *m, const struct embed_config *config, uint32_t dim,
		struct archive *archive, struct http_client *http, want_settled settled, void *ctx)
{
	*m = (struct model){.config = config,
			    .dim = dim,
			    .archive = archive,
			    .http = http,
			    .settled = settled,
			    .ctx = ctx,
			    .base64 = true,
			    .jitter = (uint32_t)clock_wall_us(),
			    .window = config->concurrency};
	texts_open(&m->texts, config);
	m->cache = cache_new(config->cache_bytes, 4 * (size_t)dim);
}

/* --- troubles --- */

/* From 0.2 s, doubled to 10 s, half of it random; the server's own word if it is longer. */
static int64_t backoff_us(struct model *m, int64_t asked_us)
{
	int64_t wait = MIN(BACKOFF_FIRST_US << MIN(m->failures, 6u), BACKOFF_MOST_US);
	m->jitter = m->jitter * 1664525u + 1013904223u;
	wait = wait / 2 + (int64_t)(m->jitter >> 8) % (wait / 2 + 1);
	return MAX(wait, asked_us);
}

/* Logged when it is news. */
static void tell(struct model *m, const struct err *err, int64_t wait_us)
{
	if (err->class == ERR_NONE) /* another session of ours finds out, and says so */
		return;
	bool news =
		m->why[0] == '\0' || (m->state == MODEL_HALTED && strcmp(m->why, err->text) != 0);
	if (news && err->class == ERR_CONFIG)
		log_error("no vectors are made, an operator must act",
			  F_STR("model", m->config->name), F_STR("error", err->text));
	else if (news)
		log_warn("no vectors are made for now, will try again",
			 F_STR("model", m->config->name),
			 F_REAL("retry_in_s", (double)wait_us / (double)US_PER_S),
			 F_STR("error", err->text));
	snprintf(m->why, sizeof(m->why), "%s", err->text);
}

/* retry_us: what the server asks for. Several at the same time are one trouble. */
static void trouble(struct model *m, const struct err *err, int64_t retry_us)
{
	bool halt = err->class == ERR_CONFIG;
	if (m->state == MODEL_HALTED || (m->state == MODEL_WAITS && !halt))
		return;
	int64_t wait = halt ? HALTED_US : backoff_us(m, retry_us);
	set_state(m, halt ? MODEL_HALTED : MODEL_WAITS);
	tell(m, err, wait);
	m->failures++;
	m->due_us = clock_mono_us() + wait;
	m->window = MAX(m->window / 2, 1.0);
}

/* A failure with no success beside it: the model is to show whose fault it is. */
static void doubt(struct model *m, const struct request *r)
{
	if (m->state == MODEL_READY && m->successes == r->successes)
		set_state(m, MODEL_NEW);
}

/* --- requests --- */

static void begin(struct model *m, struct request *r)
{
	m->numbers++;
	r->number = m->numbers;
	r->successes = m->successes;
	r->begun_us = clock_mono_us();
	r->next = m->requests;
	m->requests = r;
	m->nrequests++;
	if (embed_call_begin(r->call))
		http_client_start(m->http, &r->call->http);
}

static void free_request(struct request *r)
{
	embed_call_free(r->call);
	free(r->texts);
	free(r);
}

static void prove(struct model *m)
{
	struct request *r = xcalloc(1, sizeof(*r));
	r->call = embed_call_new(m->config, m->dim, m->base64);
	embed_call_put(r->call, "", (struct slice){(const uint8_t *)CANARY, strlen(CANARY)});
	set_state(m, MODEL_PROVING);
	begin(m, r);
}

static float float_at(const uint8_t *p)
{
	uint32_t bits = get_be32(p);
	float f;
	memcpy(&f, &bits, sizeof(f));
	return f;
}

static double cosine(const uint8_t *a, const uint8_t *b, size_t dim)
{
	double ab = 0, aa = 0, bb = 0;
	for (size_t i = 0; i < dim; i++) {
		double x = (double)float_at(a + 4 * i), y = (double)float_at(b + 4 * i);
		ab += x * y;
		aa += x * x;
		bb += y * y;
	}
	return ab / sqrt(aa * bb);
}

/* Is it the model that it was? */
static bool compare(struct model *m, const struct buf *vector, struct err *err)
{
	bool size = m->canary.len == vector->len;
	double alike = size ? cosine(m->canary.data, vector->data, m->dim) : 0;
	if (size && alike >= ALIKE)
		return true;
	m->id = 0; /* an operator may change what the database knows */
	return err_set(
		err, ERR_CONFIG,
		"embed.%s: the model is not the one that made the vectors in the database: its "
		"fixed text is %s now (cosine %.4f). Put the old one back, or give the new one "
		"another name (embed.%s.model) and make all vectors anew; to take it for the same: "
		"DELETE FROM %s WHERE model = '%s'",
		m->config->name, size ? "another vector" : "a vector of another dimension", alike,
		m->config->name, archive_models(m->archive), m->config->model);
}

/* The database is asked until it has answered; then it is known. */
static bool is_known(struct model *m, const struct buf *vector, struct err *err)
{
	if (m->id == 0) {
		m->canary.len = 0;
		if (!archive_model(m->archive, m->config->model, vector->data, vector->len, &m->id,
				   &m->canary, err))
			return false;
	}
	return compare(m, vector, err);
}

/*
 * Failures are forgotten once a text has had its vector, as a busy server takes a canary. One that
 * was asked before a connection was opened says nothing of who answers there.
 */
static void proved(struct model *m, const struct request *canary)
{
	m->proved_us = canary->begun_us;
	set_state(m, m->connected_us > m->proved_us ? MODEL_NEW : MODEL_READY);
	m->successes++;
	if (m->why[0] != '\0')
		log_info("vectors are made again", F_STR("model", m->config->name));
	m->why[0] = '\0';
}

/* A server that refuses it may be one that does not know base64. */
static void canary_answered(struct model *m, struct request *r)
{
	struct embed_call *c = r->call;
	if (m->state != MODEL_PROVING)
		return;
	switch (c->fault) {
	case EMBED_FINE:
		if (is_known(m, &c->vectors, &c->err)) {
			proved(m, r);
			break;
		}
		if (c->err.class == ERR_CONFIG)
			m->distrusted_us = clock_mono_us();
		trouble(m, &c->err, 0);
		break;
	case EMBED_REFUSED:
		c->err.class = ERR_CONFIG;
		err_wrap(&c->err, "it refuses even a text that is fine");
		if (c->base64)
			set_state(m, MODEL_NEW);
		else
			trouble(m, &c->err, 0);
		m->base64 = !c->base64;
		break;
	case EMBED_WAIT:
	case EMBED_ODD:
	case EMBED_HALT:
		trouble(m, &c->err, c->retry_us);
		break;
	case EMBED_FAULTS:
		break;
	}
}

/* --- texts --- */

/* Each is told; those that can not take it stay, and it is asked for again. */
static void settle(struct model *m, struct text *text, const uint8_t *vector, const char *why,
		   const struct want_cost *cost)
{
	struct want *wants = text->wants, *w;
	struct want_cost mine = *cost;
	mine.spent_twice = text->spent_twice;
	text->wants = NULL;
	while ((w = wants)) {
		wants = w->next;
		w->text = NULL;
		if (m->settled(m->ctx, w, vector, why, &mine)) {
			mine.cached = true;
			mine.spent_twice = text->spent_twice = 0;
			continue;
		}
		w->text = text;
		w->next = text->wants;
		text->wants = w;
	}
	if (!text->wants) {
		texts_drop(&m->texts, text);
		return;
	}
	text->strikes = 0;
	text->due_us = clock_mono_us() + HALTED_US;
	if (text->place != TEXT_QUEUED)
		texts_queue(&m->texts, text);
}

static void keep(struct model *m, const struct request *r)
{
	struct buf digests = {0};
	size_t size = 4 * (size_t)m->dim;
	for (size_t i = 0; i < r->n; i++) {
		buf_put(&digests, r->texts[i]->digest, DIGEST_SIZE);
		cache_put(m->cache, r->texts[i]->digest, r->call->vectors.data + i * size);
	}
	archive_keep(m->archive, m->id, digests.data, r->call->vectors.data, size, r->n);
	buf_free(&digests);
}

static void answered(struct model *m, struct request *r)
{
	size_t size = 4 * (size_t)m->dim;
	int64_t tokens = r->call->tokens, n = (int64_t)r->n;
	m->successes++;
	m->failures = 0;
	m->window = MIN(m->window + 1 / m->window, (double)m->config->concurrency);
	texts_went_well(&m->texts, r->n);
	keep(m, r);
	for (int64_t i = 0; i < n; i++) { /* shares that add up */
		const struct want_cost cost = {.tokens = tokens * (i + 1) / n - tokens * i / n,
					       .request = r->number};
		settle(m, r->texts[i], r->call->vectors.data + (size_t)i * size, NULL, &cost);
	}
}

/* By halves, or alone: then it is given up once it has had its strikes. */
static void refused(struct model *m, struct request *r, unsigned strikes)
{
	struct want_cost cost = {.request = r->number};
	if (r->n > 1 && r->call->too_much)
		texts_too_many(&m->texts, r->n);
	doubt(m, r);
	if (texts_halve(&m->texts, r->texts, r->n, strikes, m->successes))
		settle(m, r->texts[0], NULL, r->call->err.text, &cost);
}

/* Paid for, most likely, and to be paid for again. */
static void count_in_vain(struct request *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct text *text = r->texts[i];
		int64_t tokens = text->wants ? (int64_t)text->wants->bytes.len / 4 : 0;
		text->spent_twice += tokens;
		stats_add(METRIC_EMBED_SPENT_TWICE, 0, 0, tokens);
	}
}

/*
 * Fewer texts from now on, if there are too many. It may be their number, or what they cost, and
 * not the time, that keeps it busy again and again though it takes the canary in between: counted
 * anew from there.
 */
static void ask_for_fewer(struct model *m, const struct request *r)
{
	bool too_much = r->call->too_much;
	if (r->n <= 1 || (!too_much && m->failures < STUCK))
		return;
	if (!too_much)
		m->failures = 0;
	texts_too_many(&m->texts, r->n);
}

/* Whatever it was, the texts of this request have their vectors or are in the queue again. */
static void judge_texts(struct model *m, struct request *r)
{
	struct embed_call *c = r->call;
	if (c->fault == EMBED_ODD || (c->fault == EMBED_WAIT && c->too_much))
		count_in_vain(r);
	switch (c->fault) {
	case EMBED_FINE:
		answered(m, r);
		break;
	case EMBED_WAIT:
		ask_for_fewer(m, r);
		texts_back(&m->texts, r->texts, r->n);
		trouble(m, &c->err, c->retry_us);
		break;
	case EMBED_ODD:
		refused(m, r, STRIKE_ODD);
		break;
	case EMBED_REFUSED:
		refused(m, r, STRIKE_REFUSED);
		break;
	case EMBED_HALT:
		texts_back(&m->texts, r->texts, r->n);
		trouble(m, &c->err, 0);
		break;
	case EMBED_FAULTS:
		break;
	}
}

/* What the answer is worth, once. */
static void weigh(struct request *r)
{
	r->judged = true;
	if (r->call->http.url) /* it went out */
		embed_call_judge(r->call);
	stats_observe(METRIC_EMBED_REQUEST_SECONDS, 0, clock_mono_us() - r->begun_us);
	stats_add(METRIC_EMBED_REQUESTS, r->call->fault == EMBED_FINE ? RESULT_OK : RESULT_ERROR, 0,
		  1);
}

/* Vectors of a model in doubt are held. */
static bool is_held(const struct model *m, const struct request *r)
{
	return r->n > 0 && r->call->fault == EMBED_FINE && m->state != MODEL_READY;
}

/* It may be what another model made, also where it comes only now: it is asked for again. */
static bool is_void(const struct model *m, const struct request *r)
{
	return r->n > 0 && r->call->fault == EMBED_FINE && r->begun_us <= m->distrusted_us;
}

/*
 * A new connection brings doubt, whatever came of its first request, for all that follow on it. The
 * canary's own has answered it.
 */
static void weigh_all(struct model *m)
{
	for (struct request *r = m->requests; r; r = r->next) {
		if (r->call->http.transfer || r->judged)
			continue;
		weigh(r);
		if (r->n > 0 && r->call->http.connected)
			m->connected_us = clock_mono_us();
	}
	if (m->state == MODEL_READY && m->connected_us > m->proved_us)
		set_state(m, MODEL_NEW);
}

static void judge_all(struct model *m)
{
	weigh_all(m);
	for (struct request **link = &m->requests, *r; (r = *link);) {
		if (r->call->http.transfer || (is_held(m, r) && !is_void(m, r))) {
			link = &r->next;
			continue;
		}
		*link = r->next;
		m->nrequests--;
		if (r->n == 0)
			canary_answered(m, r);
		else if (is_void(m, r))
			texts_back(&m->texts, r->texts, r->n);
		else
			judge_texts(m, r);
		free_request(r);
	}
}

/* --- what is new --- */

void model_want(struct model *m, const char *prefix, struct want *w)
{
	const struct slice pieces[] = {
		{(const uint8_t *)m->config->model, strlen(m->config->model)},
		{(const uint8_t *)prefix, strlen(prefix)},
		w->bytes};
	uint8_t digest[DIGEST_SIZE];
	size_t before = HASH_COUNT(m->texts.all);
	digest_pieces(pieces, ARRAY_LEN(pieces), digest);
	struct text *text = texts_add(&m->texts, digest, prefix, w);
	if (HASH_COUNT(m->texts.all) > before)
		buf_put(&m->fresh, &text, sizeof(struct text *));
}

/* Texts that the database is asked for. NULL in place of those that are settled. */
struct looking {
	struct model *m;
	struct text *texts[LOOK_UP_MOST];
	size_t n;
};

static const struct want_cost no_cost = {.cached = true};

static void found(void *ctx, size_t i, const uint8_t *vector, size_t size)
{
	struct looking *l = ctx;
	struct text *text = l->texts[i];
	if (!text || size != 4 * (size_t)l->m->dim)
		return;
	l->texts[i] = NULL;
	cache_put(l->m->cache, text->digest, vector);
	settle(l->m, text, vector, NULL, &no_cost);
}

/* From memory, or to be looked for in the database. */
static void look_in_memory(struct looking *l, struct text *text)
{
	const uint8_t *vector = cache_get(l->m->cache, text->digest);
	if (!text->wants)
		texts_drop(&l->m->texts, text);
	else if (vector)
		settle(l->m, text, vector, NULL, &no_cost);
	else
		l->texts[l->n++] = text;
}

/* A portion at a time: answers come in meanwhile. True: there are more. */
static bool look_up(struct model *m)
{
	struct looking l = {.m = m};
	struct buf digests = {0};
	struct text **fresh = (struct text **)(void *)m->fresh.data;
	size_t n = m->fresh.len / sizeof(struct text *), i = 0;
	if (n == 0)
		return false;
	for (; i < n && l.n < LOOK_UP_MOST; i++)
		look_in_memory(&l, fresh[i]);
	memmove(m->fresh.data, fresh + i, (n - i) * sizeof(struct text *));
	m->fresh.len = (n - i) * sizeof(struct text *);
	for (size_t k = 0; k < l.n; k++)
		buf_put(&digests, l.texts[k]->digest, DIGEST_SIZE);
	archive_find(m->archive, m->id, digests.data, l.n, found, &l);
	for (size_t k = 0; k < l.n; k++)
		if (l.texts[k])
			texts_queue(&m->texts, l.texts[k]);
	buf_free(&digests);
	return m->fresh.len > 0;
}

/* --- the turn --- */

static void ask_for(struct model *m, struct text **texts, size_t n)
{
	struct request *r = xcalloc(1, sizeof(*r));
	r->texts = texts;
	r->n = n;
	r->call = embed_call_new(m->config, m->dim, m->base64);
	for (size_t i = 0; i < n; i++)
		embed_call_put(r->call, texts[i]->prefix, texts[i]->wants->bytes);
	begin(m, r);
}

/* As many requests as it takes. What has to be proved waits for those under way, or the canary. */
static void ask(struct model *m, int64_t now_us, int64_t *next_us)
{
	while (m->texts.first && (double)m->nrequests < m->window) {
		bool proof;
		struct text **texts = xmalloc(m->texts.inputs * sizeof(struct text *));
		size_t n = texts_take(&m->texts, texts, m->successes, now_us, &proof, next_us);
		if (n > 0) {
			ask_for(m, texts, n);
			continue;
		}
		free(texts);
		if (proof && m->nrequests == 0) {
			set_state(m, MODEL_NEW);
			*next_us = now_us;
		}
		return;
	}
}

/* Old vectors would not tell that the server has another model by now. */
static bool is_stale(const struct model *m, int64_t now_us)
{
	return now_us - m->proved_us > PROVE_EVERY_US && (m->texts.first || m->fresh.len > 0);
}

static void prune(struct model *m, int64_t now_us)
{
	if (now_us < m->prune_us)
		return;
	bool more = archive_prune(m->archive, m->id, m->config->cache_age_us);
	m->prune_us = now_us + (more ? PRUNE_MORE_US : PRUNE_EVERY_US);
}

/* What was over before it went out (its key can not be read) wakes nobody. */
static bool is_one_over(const struct model *m)
{
	for (const struct request *r = m->requests; r; r = r->next)
		if (!r->call->http.transfer && !r->judged)
			return true;
	return false;
}

int64_t model_turn(struct model *m, int64_t now_us)
{
	int64_t next = CLOCK_NEVER;
	judge_all(m);
	if (m->state == MODEL_READY) /* what was held */
		judge_all(m);
	bool due = (m->state == MODEL_WAITS || m->state == MODEL_HALTED) && now_us >= m->due_us;
	if (due || (m->state == MODEL_READY && is_stale(m, now_us)))
		set_state(m, MODEL_NEW);
	switch (m->state) {
	case MODEL_NEW:
		prove(m);
		break;
	case MODEL_PROVING:
		break;
	case MODEL_READY:
		if (look_up(m))
			next = now_us;
		ask(m, now_us, &next);
		prune(m, now_us);
		next = MIN(next, m->prune_us);
		break;
	case MODEL_WAITS:
	case MODEL_HALTED:
		next = m->due_us;
		break;
	case MODEL_STATES:
		break;
	}
	return is_one_over(m) ? now_us : next;
}

void model_close(struct model *m)
{
	while (m->requests) {
		struct request *r = m->requests;
		m->requests = r->next;
		http_client_drop(m->http, &r->call->http);
		free_request(r);
	}
	texts_close(&m->texts);
	cache_free(m->cache);
	buf_free(&m->fresh);
	buf_free(&m->canary);
}
