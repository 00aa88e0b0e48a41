/*
 * test_verify.c - "verify" and "why": a table that holds what its topic says is found to, also
 * while workers go on; one that does not is found out, row by row and column by column; what cannot
 * be known is said; and nothing is left behind, by whatever end.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bed.h"
#include "broker.h"
#include "ledger.h"
#include "load.h"
#include "system.h"

/* "verify STREAM --json", while events come in; its answer (the caller releases it). */
static json_t *verify_live(struct bed *bed, struct pace *pace, const char *stream, int expected)
{
	char path[192];
	int status = 0, waited;
	struct err ignored;
	(void)ignored;
	snprintf(path, sizeof(path), "%s/verify.log", bed->dir);
	const char *const argv[] = {stack.program, "verify",          stream, "--json",
				    "-c",          bed->owner_config, NULL};
	bed_write_config(bed);
	(void)remove(path);
	int pid = spawn(argv, NULL, path);
	while ((waited = waitpid(pid, &status, WNOHANG)) == 0) {
		pace_turn(pace);
		bed_tick(bed, clock_mono_us() + 10000);
	}
	char *text = bed_read_file(path);
	ck_assert_int_eq(waited, pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected, "exit %d: %.4000s",
		      WEXITSTATUS(status), text);
	const char *json = strchr(text, '{');
	json_t *answer = json ? json_loads(json, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
	ck_assert_msg(answer != NULL, "%.4000s", text);
	free(text);
	return answer;
}

static int64_t number(json_t *answer, const char *name)
{
	return json_integer_value(json_object_get(answer, name));
}

/* Nothing of any check is in the database. */
static void expect_nothing_left(struct bed *bed)
{
	ck_assert_int_eq(
		bed_int(bed, "SELECT count(*) FROM pg_class WHERE relname LIKE 'verify%%'"), 0);
	static const char *const books[] = {"offsets", "batches", "dead_letters"};
	for (size_t i = 0; i < ARRAY_LEN(books); i++)
		ck_assert_int_eq(bed_int(bed,
					 "SELECT count(*) FROM memingest.%s WHERE pipeline LIKE "
					 "'%%/verify/%%'",
					 books[i]),
				 0);
}

/*
 * Proves: while two workers write updates, deletes, late events and poison of every merge rule, a
 * check finds no difference, again and again, and has compared something.
 */
START_TEST(clean_under_load)
{
	struct bed *bed = ledger_bed("verifylive", 3);
	struct worker *one = worker_start(bed, NULL), *two = worker_start(bed, NULL);
	struct pace *pace = pace_open(bed, "ledger", 2000);
	pace_progress(pace, 3000);
	for (int i = 0; i < 4; i++) {
		json_t *answer = verify_live(bed, pace, "ledger", 0);
		ck_assert_int_gt(number(answer, "rows"), 100);
		ck_assert_int_eq(number(answer, "rows"), number(answer, "by_topic"));
		ck_assert_int_eq(number(answer, "differ") + number(answer, "missing") +
					 number(answer, "extra"),
				 0);
		ck_assert_uint_eq(json_array_size(json_object_get(answer, "cannot_know")), 0);
		json_decref(answer);
		expect_nothing_left(bed);
	}
	pace_close(pace);
	worker_stop(one);
	worker_stop(two);
	ck_assert_int_gt(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 0);
	bed_free(bed);
}
END_TEST

static void verify_tests(TCase *tc)
{
	tcase_add_test(tc, clean_under_load);
}
SYSTEM_SUITE("verify", 120, verify_tests)
