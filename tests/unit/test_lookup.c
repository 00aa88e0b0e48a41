/*
 * test_lookup.c - look-ups that succeed, fail, hang and come too late, with a getaddrinfo() that
 * does as it is told.
 */
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/lookup.h"
#include "unit.h"

#define LONG_US (60 * US_PER_S)

static atomic_int calls;
static int gate = -1; /* readable: look-ups may end */

/* A name server that is silent until the gate opens. */
static int hangs(const char *node, const char *service, const struct addrinfo *hints,
		 struct addrinfo **found)
{
	struct pollfd fd = {.fd = gate, .events = POLLIN};
	(void)node;
	atomic_fetch_add(&calls, 1);
	while (poll(&fd, 1, -1) < 1)
		;
	return getaddrinfo("127.0.0.7", service, hints, found);
}

static void close_gate(void)
{
	atomic_store(&calls, 0);
	gate = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_ge(gate, 0);
	lookup_use(hangs);
}

/* Lets all look-ups end and waits until the last thread has let go. */
static void open_gate(void)
{
	int64_t deadline = clock_mono_us() + 20 * US_PER_S;
	ck_assert_int_eq(eventfd_write(gate, 1), 0);
	while (lookup_under_way() > 0) {
		ck_assert(clock_mono_us() < deadline);
		poll(NULL, 0, 1);
	}
	close(gate);
	lookup_use(getaddrinfo);
}

static bool has(const struct lookup_answer *answer, const char *address)
{
	for (size_t i = 0; i < answer->n; i++)
		if (strcmp(answer->addresses[i], address) == 0)
			return true;
	return false;
}

static bool ask(const char *host, int64_t wait_us, struct lookup_answer *answer, struct err *err)
{
	return lookup_host(host, -1, clock_mono_us() + wait_us, answer, err);
}

/* A name of this machine has its loopback address. */
START_TEST(localhost)
{
	struct lookup_answer answer;
	struct err err = {0};
	ck_assert_msg(ask("localhost", LONG_US, &answer, &err), "%s", err.text);
	ck_assert(has(&answer, "127.0.0.1") || has(&answer, "::1"));
	free(answer.addresses);
}
END_TEST

static int knows_none(const char *node, const char *service, const struct addrinfo *hints,
		      struct addrinfo **found)
{
	(void)node, (void)service, (void)hints, (void)found;
	return EAI_NONAME;
}

/* A name that does not resolve: RETRY, and the reason in the resolver's words. */
START_TEST(unknown_name)
{
	struct lookup_answer answer;
	struct err err = {0};
	lookup_use(knows_none);
	ck_assert(!ask("db.example", LONG_US, &answer, &err));
	lookup_use(getaddrinfo);
	ck_assert_int_eq(err.class, ERR_RETRY);
	ck_assert_ptr_nonnull(strstr(err.text, gai_strerror(EAI_NONAME)));
	ck_assert_ptr_null(answer.addresses);
	ck_assert_uint_eq(lookup_under_way(), 0);
}
END_TEST

/* What is an address already needs no look-up: nobody is asked. */
START_TEST(addresses)
{
	static const char *const cases[] = {"127.0.0.1", "::1", "2001:db8::17"};
	close_gate();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct lookup_answer answer;
		struct err err = {0};
		ck_assert(lookup_is_address(cases[i]));
		ck_assert(ask(cases[i], LONG_US, &answer, &err));
		ck_assert_uint_eq(answer.n, 1);
		ck_assert_str_eq(answer.addresses[0], cases[i]);
		free(answer.addresses);
	}
	ck_assert(!lookup_is_address("db.example"));
	ck_assert_int_eq(atomic_load(&calls), 0);
	open_gate();
}
END_TEST

/*
 * A look-up that hangs costs no more than its deadline. Asked again while it hangs, the name has
 * one thread still. The answer that comes too late frees itself (the leak checker sees to it).
 */
START_TEST(late)
{
	struct lookup_answer answer;
	struct err err = {0};
	close_gate();
	for (int i = 0; i < 3; i++) {
		int64_t start = clock_mono_us();
		ck_assert(!ask("db.example", 20 * US_PER_MS, &answer, &err));
		ck_assert_int_ge(clock_mono_us() - start, 20 * US_PER_MS);
		ck_assert_int_eq(err.class, ERR_RETRY);
		ck_assert_ptr_nonnull(strstr(err.text, "time limit"));
	}
	ck_assert_uint_eq(lookup_under_way(), 1);
	ck_assert_int_le(atomic_load(&calls), 1);
	open_gate();
}
END_TEST

/* An abort ends the wait at once, long before the deadline. */
START_TEST(aborted)
{
	struct lookup_answer answer;
	struct err err = {0};
	struct itimerspec soon = {.it_value.tv_nsec = 20 * 1000 * 1000};
	int abort_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	close_gate();
	ck_assert_int_eq(timerfd_settime(abort_fd, 0, &soon, NULL), 0);
	int64_t start = clock_mono_us();
	ck_assert(!lookup_host("db.example", abort_fd, start + LONG_US, &answer, &err));
	ck_assert_int_lt(clock_mono_us() - start, LONG_US / 2);
	ck_assert_str_eq(err.text, "given up on request");
	close(abort_fd);
	open_gate();
}
END_TEST

static void *ask_on_a_thread(void *arg)
{
	struct err err = {0};
	struct lookup_answer *answer = arg;
	if (!ask("db.example", LONG_US, answer, &err))
		answer->n = 0;
	return NULL;
}

/* All who wait for a name get the answer, each a copy of his own. */
START_TEST(shared)
{
	struct lookup_answer answers[4];
	pthread_t threads[4];
	close_gate();
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_on_a_thread, &answers[i]),
				 0);
	while (atomic_load(&calls) == 0)
		poll(NULL, 0, 1);
	ck_assert_int_eq(eventfd_write(gate, 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], NULL);
		ck_assert_uint_eq(answers[i].n, 1);
		ck_assert_str_eq(answers[i].addresses[0], "127.0.0.7");
		free(answers[i].addresses);
	}
	open_gate();
}
END_TEST

static Suite *lookup_suite(void)
{
	Suite *s = suite_create("lookup");
	TCase *tc = tcase_create("lookup");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, localhost);
	tcase_add_test(tc, unknown_name);
	tcase_add_test(tc, addresses);
	tcase_add_test(tc, late);
	tcase_add_test(tc, aborted);
	tcase_add_test(tc, shared);
	suite_add_tcase(s, tc);
	return s;
}
UNIT_SUITE(lookup_suite)
