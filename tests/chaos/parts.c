/*
 * parts.c - tests of the chaos runs' own parts, without a server: does a seed repeat, do receipts
 * see what the log lacks, and vitals a worker that grows.
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "receipts.h"
#include "schedule.h"
#include "vitals.h"

#define STEPS 400

/* Proves: the same seed gives the same steps, another one others. */
START_TEST(seed_repeats)
{
	struct step a, b, c;
	int same = 0;
	struct schedule *one = schedule_new(7, NULL, false), *two = schedule_new(7, NULL, false),
			*other = schedule_new(8, NULL, false);
	for (int i = 0; i < STEPS; i++) {
		memset(&a, 0, sizeof(a));
		memset(&b, 0, sizeof(b));
		schedule_next(one, &a);
		schedule_next(two, &b);
		schedule_next(other, &c);
		ck_assert_int_eq(a.progress, b.progress);
		ck_assert_uint_eq(a.nfaults, b.nfaults);
		for (size_t n = 0; n < a.nfaults; n++) {
			ck_assert_ptr_eq(a.strikes[n].fault, b.strikes[n].fault);
			ck_assert_uint_eq(a.strikes[n].random, b.strikes[n].random);
			ck_assert_uint_eq(a.strikes[n].hold_ms, b.strikes[n].hold_ms);
		}
		same += a.progress == c.progress && a.strikes[0].fault == c.strikes[0].fault;
	}
	ck_assert_int_lt(same, STEPS / 4);
	schedule_free(one);
	schedule_free(two);
	schedule_free(other);
}
END_TEST

/*
 * Proves: each fault is dealt that is of the database at hand, and no other; two at a time are of
 * two scopes, neither of which wants to be alone; they are held for as long as their rows say.
 */
START_TEST(steps_keep_the_rules)
{
	struct step step;
	unsigned dealt[256] = {0}, pairs = 0;
	struct schedule *s = schedule_new(1, NULL, _i);
	for (int i = 0; i < STEPS; i++) {
		schedule_next(s, &step);
		for (size_t n = 0; n < step.nfaults; n++) {
			const struct fault *fault = step.strikes[n].fault;
			size_t at = 0;
			while (fault_at(at) != fault)
				at++;
			dealt[at]++;
			ck_assert_uint_ge(step.strikes[n].hold_ms, fault->hold_ms[0]);
			ck_assert_uint_le(step.strikes[n].hold_ms, fault->hold_ms[1]);
			ck_assert(step.nfaults == 1 || !(fault->flags & FAULT_ALONE));
		}
		pairs += step.nfaults == 2;
		ck_assert(step.nfaults == 1 ||
			  step.strikes[0].fault->scope != step.strikes[1].fault->scope);
	}
	for (size_t i = 0; fault_at(i); i++)
		ck_assert_msg((dealt[i] > 0) == fault_fits(fault_at(i), _i), "%s is dealt %u times",
			      fault_at(i)->name, dealt[i]);
	ck_assert_uint_gt(pairs, STEPS / 10);
	schedule_free(s);
}
END_TEST

static void receipt(struct receipts *r, int64_t offset, const char *value)
{
	struct slice v = {(const uint8_t *)value, strlen(value)};
	receipts_add(r, &(struct broker_message){.topic = "t", .offset = offset, .value = v});
}

static void message(struct receipts *r, int64_t offset, const char *value)
{
	struct slice v = {(const uint8_t *)value, strlen(value)};
	receipts_seen(r, &(struct broker_message){.topic = "t", .offset = offset, .value = v});
}

/* How many differences three receipts and a log make. */
static int differences(const char *const *log)
{
	struct chaos c = {.proving = true}; /* differences are counted */
	struct receipts *r = receipts_new(&c);
	receipt(r, 0, "a");
	receipt(r, 1, "b");
	receipt(r, 3, "d");
	receipt(r, -1, "who knows");
	for (int64_t i = 0; i < 5; i++) {
		if (log[i])
			message(r, i, log[i]);
	}
	receipts_settle(r);
	receipts_free(r);
	return c.seen;
}

/*
 * Proves: a message that was acknowledged and is not in the log, or is another one, is seen
 * wherever it stands; one that was never acknowledged is nobody's loss.
 */
START_TEST(receipts_see)
{
	ck_assert_int_eq(differences((const char *[]){"a", "b", NULL, "d", NULL}), 0);
	ck_assert_int_eq(differences((const char *[]){"a", "b", "c", "d", "e"}), 0);
	ck_assert_int_eq(differences((const char *[]){NULL, "b", NULL, "d", NULL}), 1);
	ck_assert_int_eq(differences((const char *[]){"a", NULL, NULL, "d", NULL}), 1);
	ck_assert_int_eq(differences((const char *[]){"a", "b", NULL, NULL, NULL}), 1);
	ck_assert_int_eq(differences((const char *[]){"a", "x", NULL, "d", NULL}), 1);
	ck_assert_int_eq(differences((const char *[]){NULL, NULL, NULL, NULL, NULL}), 3);
}
END_TEST

/* Proves: what was given up, and the topic before, are not asked for; what is in them is no end. */
START_TEST(receipts_know_declarations)
{
	struct chaos c = {.proving = true};
	struct receipts_end ends[RECEIPTS_LINES];
	struct receipts *r = receipts_new(&c);
	receipt(r, 0, "a");
	receipt(r, 1, "b");
	receipt(r, 2, "c");
	receipts_gap(r, "t", 0, 1, 2);
	message(r, 0, "a");
	message(r, 2, "c");
	receipts_settle(r);
	ck_assert_int_eq(c.seen, 0);
	receipts_new_topic(r, "t");
	receipt(r, 0, "a");
	receipt(r, 1, "b");
	ck_assert_uint_eq(receipts_ends(r, ends), 1);
	ck_assert_str_eq(ends[0].topic, "t");
	ck_assert_int_eq(ends[0].partition, 0);
	ck_assert_int_eq(ends[0].end, 2);
	message(r, 0, "a");
	receipts_settle(r);
	ck_assert_int_eq(c.seen, 1); /* the gap was of the topic before */
	receipts_tamper(r, "t");
	receipts_settle(r);
	receipts_repair(r);
	ck_assert_int_eq(c.seen, 2);
	receipt(r, 2, "c");
	message(r, 2, "c");
	receipts_settle(r);
	ck_assert_int_eq(c.seen, 2);
	receipts_free(r);
}
END_TEST

/* Looks at itself; what more it uses halfway through. */
static int vitals_of_growth(size_t bytes, int descriptors)
{
	struct worker self = {.pid = getpid()};
	struct chaos c = {.proving = true, .workers = {&self}, .nworkers = 1};
	struct vitals *v = vitals_new(&c);
	char *memory = NULL;
	int fds[256];
	for (int i = 0; i < 90; i++) {
		if (i == 45) {
			memory = xmalloc(bytes + 1);
			memset(memory, i, bytes + 1);
			for (int n = 0; n < descriptors; n++)
				fds[n] = dup(STDOUT_FILENO);
		}
		vitals_look(v);
	}
	vitals_end(v, &self);
	for (int n = 0; n < descriptors; n++)
		close(fds[n]);
	free(memory);
	vitals_free(v);
	return c.seen;
}

/*
 * Proves: what a worker uses is held against the bounds at each look, and what it uses at its end
 * against its beginning.
 */
START_TEST(vitals_see)
{
	ck_assert_int_eq(vitals_of_growth(0, 0), 0);
	ck_assert_int_eq(vitals_of_growth((size_t)64 << 20, 0), 1);
	ck_assert_int_eq(vitals_of_growth(0, 40), 1);
	ck_assert_int_eq(vitals_of_growth(0, 200), 2); /* over the bound, and not flat */
	ck_assert_int_eq(vitals_of_growth((size_t)300 << 20, 0), 2);
}
END_TEST

void chaos_parts_add(TCase *tc)
{
	tcase_add_test(tc, seed_repeats);
	tcase_add_loop_test(tc, steps_keep_the_rules, 0, 2);
	tcase_add_test(tc, receipts_see);
	tcase_add_test(tc, receipts_know_declarations);
	tcase_add_test(tc, vitals_see);
}
