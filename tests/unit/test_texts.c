/*
 * test_texts.c - which texts go into one request, by halves down to the one that is at fault; and
 * the cache of vectors in memory. And a model whose request ends before it began.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "embed/cache.h"
#include "embed/model.h"
#include "unit.h"

#define MANY 64

static const struct embed_config config = {
	.name = "m", .model = "m", .max_inputs = 8, .max_tokens = 1000, .max_bytes = 1000};

static struct texts texts;
static struct want wants[MANY];
static char bytes[MANY][16];

static void begin(void)
{
	texts_open(&texts, &config);
	memset(wants, 0, sizeof(wants));
}

static void end(void)
{
	texts_close(&texts);
}

/* Want number i of text number n, which is queued if it is new. */
static struct text *want(size_t i, int n)
{
	uint8_t digest[DIGEST_SIZE] = {(uint8_t)n};
	size_t before = HASH_COUNT(texts.all);
	snprintf(bytes[i], sizeof(bytes[i]), "%d", n);
	wants[i].bytes = (struct slice){(const uint8_t *)bytes[i], strlen(bytes[i])};
	struct text *text = texts_add(&texts, digest, "", &wants[i]);
	if (HASH_COUNT(texts.all) > before)
		texts_queue(&texts, text);
	return text;
}

static size_t take(struct text **out, uint64_t successes, bool *proof)
{
	int64_t next = INT64_MAX;
	return texts_take(&texts, out, successes, 0, proof, &next);
}

/* All that wait are told, and the text is gone. */
static void settle(struct text *text)
{
	while (text->wants)
		texts_leave(text->wants);
	texts_drop(&texts, text);
}

/* Equal texts are one; requests are filled in order, to the number of inputs. */
START_TEST(portions)
{
	struct text *out[MANY];
	bool proof;
	for (size_t i = 0; i < 20; i++)
		want(i, (int)i % 10);
	ck_assert_uint_eq(texts.nqueued, 10);
	ck_assert_uint_eq(take(out, 0, &proof), 8);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(out[i]->digest[0], i);
	ck_assert_uint_eq(take(out + 8, 0, &proof), 2);
	ck_assert_uint_eq(take(out + 10, 0, &proof), 0);
	ck_assert(!proof);
	for (int i = 0; i < 10; i++)
		settle(out[i]);
	ck_assert_uint_eq(HASH_COUNT(texts.all), 0);
}
END_TEST

/* Bytes and tokens bound a request as well; what is over them goes alone. */
START_TEST(sizes)
{
	struct text *out[MANY];
	bool proof;
	char large[2000];
	memset(large, 'x', sizeof(large));
	for (size_t i = 0; i < 3; i++)
		want(i, (int)i);
	wants[1].bytes = (struct slice){(const uint8_t *)large, sizeof(large)};
	ck_assert_uint_eq(take(out, 0, &proof), 1);
	ck_assert_uint_eq(take(out, 0, &proof), 1);
	ck_assert_int_eq(out[0]->digest[0], 1);
	ck_assert_uint_eq(take(out, 0, &proof), 1);
	ck_assert_int_eq(out[0]->digest[0], 2);
}
END_TEST

/* A text that nobody waits for any more is asked for no more; the others still are. */
START_TEST(given_back)
{
	struct text *out[MANY];
	bool proof;
	for (size_t i = 0; i < 6; i++)
		want(i, (int)i % 3);
	texts_leave(&wants[1]);
	texts_leave(&wants[4]);
	texts_leave(&wants[2]);
	ck_assert_uint_eq(take(out, 0, &proof), 2);
	ck_assert_int_eq(out[0]->digest[0], 0);
	ck_assert_int_eq(out[1]->digest[0], 2);
	ck_assert_ptr_eq(out[1]->wants, &wants[5]);
	ck_assert_uint_eq(HASH_COUNT(texts.all), 2);
}
END_TEST

/*
 * A server that refuses one text, whatever is beside it: the innocent get through, and the guilty
 * one is given up after two refusals alone with a success between.
 */
START_TEST(one_is_at_fault)
{
	for (int guilty = 0; guilty < 8; guilty++) {
		struct text *out[MANY];
		bool proof, over = false;
		uint64_t successes = 1;
		int served = 0, requests = 0, proofs = 0;
		begin();
		for (size_t i = 0; i < 8; i++)
			want(i, (int)i);
		while (!over || texts.first) {
			size_t n = take(out, successes, &proof);
			bool refused = false;
			ck_assert_int_lt(++requests, 40);
			ck_assert(n > 0 || proof);
			for (size_t i = 0; i < n; i++)
				refused |= out[i]->digest[0] == guilty;
			if (proof) {
				proofs++;
				successes++;
			} else if (refused &&
				   texts_halve(&texts, out, n, STRIKE_REFUSED, successes)) {
				ck_assert(!over);
				ck_assert_int_eq(out[0]->digest[0], guilty);
				settle(out[0]);
				over = true;
			} else if (!refused) {
				successes++;
				served += (int)n;
				for (size_t i = 0; i < n; i++)
					settle(out[i]);
			}
		}
		ck_assert_int_eq(served, 7);
		ck_assert_int_le(proofs, 1);
		end();
	}
	begin();
}
END_TEST

/* Strikes for odd answers weigh less: six of them, each with a success between. */
START_TEST(odd_answers)
{
	struct text *out[MANY];
	bool proof;
	want(0, 0);
	for (unsigned i = 1; i <= STRIKES_MOST; i++) {
		ck_assert_uint_eq(take(out, i, &proof), 1);
		ck_assert_int_eq(texts_halve(&texts, out, 1, STRIKE_ODD, i), i == STRIKES_MOST);
		ck_assert_uint_eq(take(out + 1, i, &proof), 0);
		ck_assert_int_eq(proof, i < STRIKES_MOST);
	}
}
END_TEST

/* Put back in front, in order; and what is not due is passed over. */
START_TEST(put_back)
{
	struct text *out[MANY];
	bool proof;
	int64_t next = INT64_MAX;
	for (size_t i = 0; i < 10; i++)
		want(i, (int)i);
	size_t n = take(out, 0, &proof);
	texts_back(&texts, out, n);
	out[0]->due_us = 50;
	ck_assert_uint_eq(texts_take(&texts, out, 0, 10, &proof, &next), 8);
	ck_assert_int_eq(out[0]->digest[0], 1);
	ck_assert_int_eq(out[7]->digest[0], 8);
	ck_assert_int_eq(next, 50);
	texts_back(&texts, out, 8);
	ck_assert_uint_eq(texts_take(&texts, out, 0, 50, &proof, &next), 8);
	ck_assert_uint_eq(texts_take(&texts, out, 0, 50, &proof, &next), 2);
	ck_assert_int_eq(out[0]->digest[0], 0);
}
END_TEST

/* Too many at once: half from then on, and more again after a while. */
START_TEST(fewer_and_more)
{
	texts_too_many(&texts, 8);
	ck_assert_uint_eq(texts.inputs, 4);
	texts_too_many(&texts, 4);
	ck_assert_uint_eq(texts.inputs, 2);
	for (int i = 0; i < 31; i++)
		texts_went_well(&texts, 2);
	ck_assert_uint_eq(texts.inputs, 2);
	texts_went_well(&texts, 1); /* one that was not full says nothing */
	ck_assert_uint_eq(texts.inputs, 2);
	texts_went_well(&texts, 2);
	ck_assert_uint_eq(texts.inputs, 4);
	texts_too_many(&texts, 1);
	ck_assert_uint_eq(texts.inputs, 1);
}
END_TEST

/*
 * Requests that were under way together and are all too large say it once: half of a request is
 * left, and not a sixteenth.
 */
START_TEST(too_many_at_once)
{
	for (int i = 0; i < 4; i++)
		texts_too_many(&texts, 8);
	ck_assert_uint_eq(texts.inputs, 4);
	ck_assert_uint_eq(texts.patience, 16);
	texts_too_many(&texts, 3); /* the last of a queue */
	ck_assert_uint_eq(texts.inputs, 1);
}
END_TEST

static bool never_settled(void *ctx, struct want *want, const uint8_t *vector, const char *why,
			  const struct want_cost *cost)
{
	(void)ctx, (void)want, (void)vector, (void)why, (void)cost;
	ck_abort_msg("nothing was wanted");
	return false;
}

/* A key that can not be read makes no request, whose end would wake the thread: so it is due. */
START_TEST(no_key)
{
	const struct embed_config keyed = {.name = "m",
					   .url = "http://127.0.0.1:9/v1",
					   .model = "m",
					   .key_file = "/there/is/none",
					   .max_inputs = 8,
					   .concurrency = 1};
	struct http_client *http = http_client_new();
	struct model m;
	model_open(&m, &keyed, 2, NULL, http, never_settled, NULL);
	int64_t now = clock_mono_us();
	ck_assert_int_le(model_turn(&m, now), now);
	ck_assert_int_le(model_turn(&m, now), clock_mono_us() + US_PER_S);
	ck_assert_int_eq(m.state, MODEL_WAITS);
	ck_assert_ptr_nonnull(strstr(m.why, "/there/is/none"));
	model_close(&m);
	http_client_free(http);
}
END_TEST

/* The last used stay, within the bytes that it may have. */
START_TEST(cache)
{
	uint8_t vector[16] = {0}, digest[DIGEST_SIZE] = {0};
	struct cache *c = cache_new(3 * 200, sizeof(vector)), *none = cache_new(0, 16);
	for (uint8_t i = 0; i < 10; i++) {
		digest[0] = vector[0] = i;
		cache_put(c, digest, vector);
		digest[0] = 0;
		ck_assert_msg(cache_get(c, digest) != NULL, "%u", i); /* so it is not the oldest */
	}
	size_t kept = 0;
	for (uint8_t i = 0; i < 10; i++) {
		digest[0] = i;
		const uint8_t *v = cache_get(c, digest);
		kept += v != NULL;
		ck_assert(!v || v[0] == i);
	}
	ck_assert_uint_ge(kept, 2);
	ck_assert_uint_le(kept, 6);
	cache_put(none, digest, vector);
	ck_assert_ptr_null(cache_get(none, digest));
	cache_free(c);
	cache_free(none);
}
END_TEST

static Suite *texts_suite(void)
{
	Suite *suite = suite_create("texts");
	TCase *tc = tcase_create("texts");
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, portions);
	tcase_add_test(tc, sizes);
	tcase_add_test(tc, given_back);
	tcase_add_test(tc, one_is_at_fault);
	tcase_add_test(tc, odd_answers);
	tcase_add_test(tc, put_back);
	tcase_add_test(tc, fewer_and_more);
	tcase_add_test(tc, too_many_at_once);
	tcase_add_test(tc, no_key);
	tcase_add_test(tc, cache);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(texts_suite)
