/*
 * test_stack.c - the harm that tests/stack can do to PostgreSQL is the harm that it says: a fault
 * that does nothing would prove nothing.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bed.h"
#include "system.h"

static struct pg *session(struct bed *bed)
{
	const struct config config = {
		.pg_dsn = bed->dsn,
		.pg_statement_timeout_us = 5 * US_PER_S,
		.pg_lock_timeout_us = 5 * US_PER_S,
		.pg_connect_timeout_us = US_PER_S,
	};
	struct err err = {0};
	return pg_connect(&config, "test", -1, &err);
}

/*
 * Proves: frozen, the server says nothing to the session that there is, nor to a new one; thawed,
 * it answers again.
 */
START_TEST(frozen)
{
	struct bed *bed = bed_new("frozen");
	struct err err = {0};
	struct pg *pg = session(bed);
	ck_assert_ptr_nonnull(pg);
	stack_do("pg", "freeze", NULL);
	struct pg *other = session(bed);
	ck_assert_ptr_null(other);
	pg_set_timeout(pg, US_PER_S);
	ck_assert(!pg_exec(pg, "SELECT 1", NULL, 0, &err));
	stack_do("pg", "thaw", NULL);
	pg_free(pg);
	pg = session(bed);
	ck_assert_ptr_nonnull(pg);
	ck_assert(pg_exec(pg, "SELECT 1", NULL, 0, &err));
	pg_free(pg);
	bed_free(bed);
}
END_TEST

/*
 * Proves: what is committed after the standby was cut off (0) or the copy was made (1) is gone once
 * that has taken the server's place, at the same port; what was before is there, and it can be
 * written to.
 */
START_TEST(goes_back)
{
	struct bed *bed = bed_new("back");
	bed_sql(bed, "CREATE TABLE t AS SELECT 1 AS n");
	if (_i == 0) {
		stack_do("standby", "start", NULL);
		stack_do("standby", "cut", NULL);
	} else {
		stack_do("pg", "backup", NULL);
	}
	bed_sql(bed, "INSERT INTO t VALUES (2)");
	if (_i == 0)
		stack_do("standby", "promote", NULL);
	else
		stack_do("pg", "restore", NULL);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(n) FROM t"), 1);
	bed_sql(bed, "INSERT INTO t VALUES (4)");
	ck_assert_int_eq(bed_int(bed, "SELECT sum(n) FROM t"), 5);
	bed_free(bed);
}
END_TEST

static bool can_mount(void)
{
	const char *const argv[] = {"tests/stack", "disk", "make", stack.dir, NULL};
	return geteuid() == 0 && wait_exit(spawn(argv, NULL, NULL)) == 0;
}

/*
 * Proves: with no space left for the table (0) an insert is refused for that reason (53100), with
 * none for the log (1) the server crashes; once there is space, all goes on with what was
 * committed, also after it was moved back.
 */
START_TEST(disk_full)
{
	struct bed *bed = bed_new("disk");
	struct err err = {0};
	if (!can_mount()) {
		printf("skipped disk_full: no file system can be mounted here\n");
		bed_free(bed);
		return;
	}
	if (_i == 1)
		stack_do("disk", "wal", NULL);
	bed_sql(bed, "CREATE TABLE t (n int) TABLESPACE %s", _i == 0 ? "small" : "pg_default");
	bed_sql(bed, "INSERT INTO t VALUES (1)");
	stack_do("disk", "fill", NULL);
	struct pg *pg = session(bed);
	ck_assert_ptr_nonnull(pg);
	while (pg_exec(pg, "INSERT INTO t SELECT generate_series(1, 100000) * 0", NULL, 0, &err))
		continue;
	if (_i == 0)
		ck_assert_str_eq(err.code, "53100");
	else
		ck_assert(!pg_ok(pg));
	pg_free(pg);
	stack_do("disk", "free", NULL);
	bed_sql(bed, "INSERT INTO t VALUES (2)");
	bed_sql(bed, "ALTER TABLE t SET TABLESPACE pg_default");
	stack_do("disk", "remove", NULL);
	stack_do("pg", "restart", "immediate");
	ck_assert_int_eq(bed_int(bed, "SELECT sum(n) FROM t"), 3);
	bed_free(bed);
}
END_TEST

static void stack_tests(TCase *tc)
{
	tcase_add_test(tc, frozen);
	tcase_add_loop_test(tc, goes_back, 0, 2);
	tcase_add_loop_test(tc, disk_full, 0, 2);
}
SYSTEM_SUITE("stack", 60, stack_tests)
