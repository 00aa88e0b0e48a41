/*
 * texts.c - what is asked for, and in which portions.
 *
 *   want  want  want      events, of any number of batches
 *     \    |     |
 *      text     text      each text once, by its digest
 *        \       /
 *   queue, oldest first --> request: "inputs" texts at most, max_bytes, max_tokens
 *
 * A server that refuses a request does not say which text is at fault. So they are asked in two
 * halves, and so on down to the one; "cap" keeps a half from growing again. One that is refused
 * alone gets strikes, and is asked again only after the model has shown that it works.
 *
 * How many texts a server takes at once is found out: halved when it says that they are too many,
 * doubled after a number of full requests, a number that doubles with each refusal.
 */
#include "embed/texts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_FIRST = 8, PATIENCE_MOST = 1024, BYTES_PER_TOKEN = 3 };

void texts_open(struct texts *t, const struct embed_config *config)
{
	*t = (struct texts){
		.config = config, .inputs = config->max_inputs, .patience = PATIENCE_FIRST};
}

static void forget(struct texts *t, struct text *text)
{
	/* uthash: nothing is before the head, and what is in it has one */
	assert(t->all && (text != t->all || text->hh.prev == NULL));
	HASH_DEL(t->all, text);
	free(text);
}

void texts_close(struct texts *t)
{
	struct text *text, *next;
	HASH_ITER (hh, t->all, text, next) {
		struct want *w = text->wants;
		for (; w; w = w->next)
			w->text = NULL;
		forget(t, text);
	}
}

struct text *texts_add(struct texts *t, const uint8_t digest[DIGEST_SIZE], const char *prefix,
		       struct want *w)
{
	struct text *text = NULL;
	HASH_FIND(hh, t->all, digest, DIGEST_SIZE, text);
	if (!text) {
		text = xcalloc(1, sizeof(*text));
		memcpy(text->digest, digest, DIGEST_SIZE);
		text->prefix = prefix;
		text->cap = UINT32_MAX;
		HASH_ADD(hh, t->all, digest, DIGEST_SIZE, text);
	}
	w->text = text;
	w->next = text->wants;
	text->wants = w;
	return text;
}

void texts_leave(struct want *w)
{
	if (!w->text)
		return;
	struct want **link = &w->text->wants;
	while (*link != w)
		link = &(*link)->next;
	*link = w->next;
	w->text = NULL;
}

/* --- the queue --- */

static void link_last(struct texts *t, struct text *text)
{
	text->place = TEXT_QUEUED;
	text->prev = t->last;
	text->next = NULL;
	*(t->last ? &t->last->next : &t->first) = text;
	t->last = text;
	t->nqueued++;
}

static void link_first(struct texts *t, struct text *text)
{
	text->place = TEXT_QUEUED;
	text->prev = NULL;
	text->next = t->first;
	*(t->first ? &t->first->prev : &t->last) = text;
	t->first = text;
	t->nqueued++;
}

static void unlink_text(struct texts *t, struct text *text)
{
	*(text->prev ? &text->prev->next : &t->first) = text->next;
	*(text->next ? &text->next->prev : &t->last) = text->prev;
	text->prev = text->next = NULL;
	t->nqueued--;
}

void texts_queue(struct texts *t, struct text *text)
{
	assert(text->place != TEXT_QUEUED);
	link_last(t, text);
}

void texts_drop(struct texts *t, struct text *text)
{
	assert(!text->wants);
	if (text->place == TEXT_QUEUED)
		unlink_text(t, text);
	forget(t, text);
}

/* What a request holds so far. */
struct portion {
	size_t n;
	uint64_t bytes;
	uint32_t cap;
};

/* Whether it may have this one as well; the first one goes whatever its size. */
static bool fits(const struct texts *t, const struct portion *p, const struct text *text)
{
	uint64_t bytes = p->bytes + text->wants->bytes.len + strlen(text->prefix);
	if (p->n == 0)
		return true;
	return p->n < MIN(p->cap, text->cap) && bytes <= t->config->max_bytes &&
	       bytes / BYTES_PER_TOKEN <= t->config->max_tokens;
}

static void take(struct texts *t, struct portion *p, struct text *text, struct text **out)
{
	unlink_text(t, text);
	text->place = TEXT_ASKED;
	out[p->n++] = text;
	p->cap = MIN(p->cap, text->cap);
	p->bytes += text->wants->bytes.len + strlen(text->prefix);
}

/* Those that nobody waits for are freed on the way; those that are not due are passed over. */
size_t texts_take(struct texts *t, struct text **out, uint64_t successes, int64_t now_us,
		  bool *proof, int64_t *next_us)
{
	struct portion p = {.cap = t->inputs};
	*proof = false;
	for (struct text *text = t->first, *next; text; text = next) {
		next = text->next;
		if (!text->wants) {
			texts_drop(t, text);
		} else if (text->due_us > now_us) {
			*next_us = MIN(*next_us, text->due_us);
		} else if (text->strikes > 0 && text->struck == successes) {
			*proof = p.n == 0;
			break;
		} else if (p.n >= p.cap || !fits(t, &p, text)) {
			break;
		} else {
			take(t, &p, text, out);
		}
	}
	return p.n;
}

void texts_back(struct texts *t, struct text **texts, size_t n)
{
	while (n-- > 0)
		link_first(t, texts[n]);
}

bool texts_halve(struct texts *t, struct text **texts, size_t n, unsigned strikes,
		 uint64_t successes)
{
	if (n == 1) {
		texts[0]->strikes += strikes;
		texts[0]->struck = successes;
		texts[0]->cap = 1;
		if (texts[0]->strikes >= STRIKES_MOST)
			return true;
	}
	for (size_t i = 0; i < n; i++)
		texts[i]->cap = (uint32_t)(n + 1) / 2;
	texts_back(t, texts, n);
	return false;
}

/* Requests of before, that were under way together, say nothing of what it is by now. */
void texts_too_many(struct texts *t, size_t n)
{
	if (n > t->inputs)
		return;
	t->inputs = (uint32_t)MAX(n / 2, (size_t)1);
	t->patience = MIN(2 * t->patience, (unsigned)PATIENCE_MOST);
	t->full = 0;
}

void texts_went_well(struct texts *t, size_t n)
{
	if (n < t->inputs || t->inputs == t->config->max_inputs || ++t->full < t->patience)
		return;
	t->inputs = MIN(2 * t->inputs, t->config->max_inputs);
	t->full = 0;
}
