/*
 * embed_answer.c - is every vector there, on its own text, and a vector?
 *
 *   {"data": [{"index": 1, "embedding": [0.1, ...]}, {"index": 0, "embedding": "base64"}],
 *    "usage": {"prompt_tokens": 12}}
 *
 * Servers mix the order up, leave texts out, answer twice, send NaN, no numbers at all, or an error
 * with status 200. A vector on the wrong row is an error that nobody sees, so nothing is taken by
 * its place where there is an index, and an answer is taken as a whole or not at all.
 *
 * Numbers are arrays of digits or base64 of little-endian floats. Pure. Memory: the caller's, and
 * the tokens while it runs.
 */
#include "io/embed_answer.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "file/jtape.h"
#include "file/number.h"

/* More tokens than any request has: sums of what a server says have to stay sums. */
#define MOST_TOKENS INT64_C(1000000000)

/* The value of a member; NULL: there is none, or it is null, or this is no object. */
static const struct jtoken *member(const struct jtoken *object, const char *name)
{
	const struct jtoken *found = NULL;
	if (!object || object->kind != JTOKEN_OBJECT)
		return NULL;
	const struct jtoken *key = object + 1;
	for (uint32_t i = 0; i < object->n; i++, key = jtape_next(key + 1))
		if (jtoken_is(key, name) && key[1].kind != JTOKEN_NULL)
			found = key + 1;
	return found;
}

static int64_t integer(const struct jtoken *v)
{
	int64_t n = -1;
	if (v && v->kind == JTOKEN_NUMBER && number_int64(v->text, v->n, &n) != NUMBER_FITS)
		n = -1;
	return n;
}

/* --- numbers --- */

/* Little-endian floats of base64 to big-endian ones. */
static bool put_packed(struct buf *out, const struct jtoken *v, struct err *err)
{
	size_t start = out->len;
	if (!buf_unbase64(out, v->text, v->n) || (out->len - start) % 4 != 0)
		return err_set(err, ERR_RETRY, "it is no base64 of floats");
	for (uint8_t *p = out->data + start; p < out->data + out->len; p += 4)
		put_be32(p, get_le32(p));
	return true;
}

static bool put_digits(struct buf *out, const struct jtoken *array, struct err *err)
{
	const struct jtoken *v = array + 1;
	for (uint32_t i = 0; i < array->n; i++, v = jtape_next(v)) {
		float f = 0;
		uint32_t bits;
		if (v->kind != JTOKEN_NUMBER || number_float(v->text, &f) != NUMBER_FITS)
			return err_set(err, ERR_RETRY, "number %u is none", i + 1);
		memcpy(&bits, &f, sizeof(bits));
		buf_be32(out, bits);
	}
	return true;
}

static float float_at(const uint8_t *p)
{
	uint32_t bits = get_be32(p);
	float f;
	memcpy(&f, &bits, sizeof(f));
	return f;
}

static double square_sum(const uint8_t *p, size_t dim)
{
	double sum = 0;
	for (size_t i = 0; i < dim; i++)
		sum += (double)float_at(p + 4 * i) * (double)float_at(p + 4 * i);
	return sum;
}

/* Finite and not zero. */
static bool check_norm(const uint8_t *p, size_t dim, struct err *err)
{
	double sum = square_sum(p, dim);
	if (!isfinite(sum))
		return err_set(err, ERR_RETRY, "it holds NaN or infinity");
	return sum > 0 || err_set(err, ERR_RETRY, "all its numbers are zero");
}

void embed_normalize(uint8_t *be, size_t dim)
{
	double norm = sqrt(square_sum(be, dim));
	for (size_t i = 0; i < dim; i++) {
		float f = (float)((double)float_at(be + 4 * i) / norm);
		uint32_t bits;
		memcpy(&bits, &f, sizeof(bits));
		put_be32(be + 4 * i, bits);
	}
}

/* --- the list --- */

/* One vector behind the others in out, whatever its dimension. */
static bool put_vector(const struct jtoken *item, struct buf *out, struct err *err)
{
	const struct jtoken *v = member(item, "embedding");
	size_t start = out->len;
	bool ok;
	if (!v || (v->kind != JTOKEN_ARRAY && v->kind != JTOKEN_STRING))
		return err_set(err, ERR_RETRY, "it has no list of numbers");
	ok = v->kind == JTOKEN_ARRAY ? put_digits(out, v, err) : put_packed(out, v, err);
	if (ok && out->len == start)
		ok = err_set(err, ERR_RETRY, "it has no numbers");
	return ok && check_norm(out->data + start, (out->len - start) / 4, err);
}

/* Where each text's vector stands among those that came. */
struct places {
	size_t *at;  /* in bytes; SIZE_MAX: none yet */
	size_t dims; /* how many have the dimension of the first */
	size_t dim;  /* the first one's */
};

/* Which text the item is of: by its index, or by its place if it has none and nobody has one. */
static bool place_of(const struct embed_answer *a, const struct jtoken *item, bool indexed,
		     size_t place, size_t *text, struct err *err)
{
	int64_t index = integer(member(item, "index"));
	if (!indexed) {
		*text = place;
		return true;
	}
	if (index < 0 || index >= (int64_t)a->n)
		return err_set(err, ERR_RETRY, "vector %zu has no index of 0 to %zu", place + 1,
			       a->n - 1);
	*text = (size_t)index;
	return true;
}

static bool take_item(struct embed_answer *a, const struct jtoken *item, bool indexed, size_t i,
		      struct places *p, struct buf *out, struct err *err)
{
	size_t text = 0, start = out->len;
	if (!place_of(a, item, indexed, i, &text, err))
		return false;
	if (p->at[text] != SIZE_MAX)
		return err_set(err, ERR_RETRY, "index %zu stands twice", text);
	if (!put_vector(item, out, err))
		return err_wrap(err, "the vector of text %zu", text + 1);
	size_t dim = (out->len - start) / 4;
	p->at[text] = start;
	if (p->dims == 0)
		p->dim = dim;
	p->dims += dim == p->dim;
	return true;
}

/* All of one dimension, which is the wanted one. */
static bool check_dims(struct embed_answer *a, const struct places *p, struct err *err)
{
	size_t wanted = a->dim ? a->dim : p->dim;
	if (p->dims < a->n)
		return err_set(err, ERR_RETRY, "its vectors differ in dimension");
	a->other_dim = p->dim != wanted;
	if (a->other_dim)
		return err_set(err, ERR_CONFIG, "its vectors have %zu dimensions, the column %zu",
			       p->dim, wanted);
	a->dim = (uint32_t)wanted;
	return true;
}

static bool is_indexed(const struct jtoken *list)
{
	const struct jtoken *item = list + 1;
	for (uint32_t i = 0; i < list->n; i++, item = jtape_next(item))
		if (member(item, "index"))
			return true;
	return false;
}

static bool take_list(struct embed_answer *a, const struct jtoken *list, struct places *p,
		      struct buf *out, struct err *err)
{
	bool indexed = is_indexed(list);
	const struct jtoken *item = list + 1;
	for (uint32_t i = 0; i < list->n; i++, item = jtape_next(item))
		if (!take_item(a, item, indexed, i, p, out, err))
			return false;
	return check_dims(a, p, err);
}

/* From the order in which they came to that of the texts. */
static void sort_out(struct embed_answer *a, const struct places *p, const struct buf *came)
{
	size_t size = 4 * (size_t)a->dim;
	assert(came->data); /* no vector is empty */
	for (size_t i = 0; i < a->n; i++)
		buf_put(a->vectors, came->data + p->at[i], size);
}

static bool read_list(struct embed_answer *a, const struct jtoken *list, struct err *err)
{
	if (!list || list->kind != JTOKEN_ARRAY)
		return err_set(err, ERR_RETRY, "it has no \"data\"");
	if (list->n != a->n)
		return err_set(err, ERR_RETRY, "it has %u vectors for %zu texts", list->n, a->n);
	struct buf came = {0};
	struct places p = {.at = xmalloc((a->n + 1) * sizeof(*p.at))};
	for (size_t i = 0; i < a->n; i++)
		p.at[i] = SIZE_MAX;
	bool ok = take_list(a, list, &p, &came, err);
	if (ok)
		sort_out(a, &p, &came);
	free(p.at);
	buf_free(&came);
	return ok;
}

/* --- errors --- */

/* Others' words in one line of ours: UTF-8 without control characters. */
static void put_words(const char *words, size_t len, char *out, size_t size)
{
	size_t n = MIN(len, size - 1);
	memcpy(out, words, n);
	out[n] = '\0';
	for (unsigned char *c = (unsigned char *)out; *c;) {
		size_t sequence = utf8_sequence(c);
		if (sequence > 1) {
			c += sequence;
			continue;
		}
		if (sequence == 0 || *c < 0x20 || *c == 0x7f)
			*c = sequence == 0 ? '?' : ' ';
		c++;
	}
}

/* Of {"error": {"message": ..}}, {"error": ".."}, {"message": ..}, {"detail": ..}, ... */
static const struct jtoken *find_words(const struct jtoken *top)
{
	static const char *const names[] = {"error", "message", "detail", "msg"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct jtoken *v = member(top, names[i]);
		if (v && v->kind == JTOKEN_STRING)
			return v;
		if (v && v->kind == JTOKEN_OBJECT && find_words(v))
			return find_words(v);
		if (v && v->kind == JTOKEN_ARRAY && v->n > 0 && find_words(v + 1))
			return find_words(v + 1);
	}
	return NULL;
}

void embed_answer_words(char *text, size_t len, char *out, size_t size)
{
	struct jtape tape = {0};
	struct err ignored;
	char *copy = xcalloc(1, len + 16);
	memcpy(copy, text, len);
	const struct jtoken *words =
		jtape_parse(&tape, copy, len, &ignored) ? find_words(tape.tokens) : NULL;
	put_words(words ? words->text : text, words ? words->n : MIN(len, (size_t)200), out, size);
	jtape_free(&tape);
	free(copy);
}

/* An error in an answer of status 200: its own code, if it is a status. */
static bool take_error(struct embed_answer *a, const struct jtoken *top, struct err *err)
{
	const struct jtoken *error = member(top, "error"), *words = find_words(top);
	char text[400] = "no words";
	int64_t code = integer(member(error, "code"));
	if (code < 0)
		code = integer(member(error, "status"));
	if (code < 0)
		code = integer(member(top, "code"));
	a->status = code >= 400 && code < 600 ? (long)code : 0;
	if (words)
		put_words(words->text, words->n, text, sizeof(text));
	return err_set(err, ERR_RETRY, "an error with status 200: %s", text);
}

/* 0: it does not say. */
static int64_t tokens_of(const struct jtoken *usage)
{
	int64_t tokens = integer(member(usage, "prompt_tokens"));
	if (tokens <= 0)
		tokens = integer(member(usage, "total_tokens"));
	return MIN(MAX(tokens, INT64_C(0)), MOST_TOKENS);
}

bool embed_answer_read(struct embed_answer *a, char *text, size_t len, struct err *err)
{
	struct jtape tape = {0};
	size_t before = a->vectors->len;
	a->tokens = 0;
	a->status = 0;
	a->other_dim = false;
	bool ok = jtape_parse(&tape, text, len, err);
	if (!ok) {
		err->class = ERR_RETRY;
		err_wrap(err, "the answer is no JSON");
	} else if (member(tape.tokens, "error") && !member(tape.tokens, "data")) {
		ok = take_error(a, tape.tokens, err);
	} else {
		a->tokens = tokens_of(member(tape.tokens, "usage"));
		ok = read_list(a, member(tape.tokens, "data"), err) ||
		     err_wrap(err, "the answer is not what was asked for");
	}
	if (!ok)
		a->vectors->len = before;
	jtape_free(&tape);
	return ok;
}
