/*
 * test_sqlstate.c - each SQLSTATE of the policy (the table in io/pg.c), raised by PostgreSQL, and
 * what the worker does about it.
 *
 * One partition with a lane of its own for each state, so that all are tried at once, and none is
 * in another's way:
 *
 *   offset 0  N-a    lands
 *          1  N-b    its row is refused with state N, as long as the table "orders" says so
 *          2  N-c    lands
 *
 * What a transaction does in the table is gone with it, so what was tried is told by sequences:
 * they are not rolled back.
 *
 * Not here: what refuses every row of a table (test_verdict.c, test_scope.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bed.h"
#include "ledger.h"
#include "system.h"

enum action {
	RETRIES,    /* the same again, soon, in the same session */
	RECONNECTS, /* soon, in another session */
	SLOWLY,     /* after ten seconds: an alert, and nothing that an event could do about it */
	HOLDS,      /* its stream waits for an operator */
	BURIES,     /* a dead letter; its neighbours land */
};

static const struct {
	const char *state;
	enum action action;
	const char *reason; /* of the dead letter */
} policy[] = {
	{"08006", RECONNECTS},
	{"08P01", RECONNECTS},
	{"22000", BURIES, "database"},
	{"22003", BURIES, "out_of_range"},
	{"22008", BURIES, "out_of_range"},
	{"22021", BURIES, "invalid_text"},
	{"2200H", HOLDS},
	{"22P04", HOLDS},
	{"23502", BURIES, "constraint"},
	{"23505", BURIES, "constraint"}, /* after two more tries: it may be a race */
	{"23514", BURIES, "constraint"},
	{"23P01", BURIES, "constraint"},
	{"25006", RECONNECTS},
	{"25P02", BURIES, "database"},
	{"25P03", RECONNECTS},
	{"25P04", RECONNECTS},
	{"26000", RECONNECTS},
	{"28000", BURIES, "database"}, /* of a login it would be the session */
	{"28P01", BURIES, "database"},
	{"3D000", BURIES, "database"},
	{"40001", RETRIES},
	{"40003", RECONNECTS},
	{"40P01", RETRIES},
	{"428C9", HOLDS},
	{"42501", BURIES, "database"},
	{"42P01", BURIES, "database"},
	{"42804", BURIES, "database"},
	{"44000", BURIES, "constraint"},
	{"53100", SLOWLY},
	{"53200", SLOWLY},
	{"53300", RETRIES},
	{"54000", BURIES, "too_large"},
	{"54001", BURIES, "too_large"},
	{"55000", BURIES, "database"},
	{"55006", RETRIES},
	{"55P03", RETRIES},
	{"57014", RETRIES},
	{"57P01", RECONNECTS},
	{"57P02", RECONNECTS},
	{"57P03", RECONNECTS},
	{"57P05", RECONNECTS},
	{"58030", SLOWLY},
	{"72000", RETRIES},
	{"F0000", BURIES, "database"},
	{"HV000", BURIES, "database"},
	{"P0001", BURIES, "database"},
	{"XX000", BURIES, "database"},
	{"XX001", HOLDS},
	{"XX002", HOLDS},
	{"0A000", BURIES, "database"}, /* of no row of the table */
	{"Q0001", BURIES, "database"}, /* of nobody but who wrote the trigger */
};
#define STATES ((int)ARRAY_LEN(policy))

/* --- the ground --- */

static struct bed *states_bed(void)
{
	struct bed *bed = ledger_bed("states", STATES);
	bed_set(bed, "postgres.lanes", "%d", STATES);
	bed_set(bed, "batch.max_age", "200ms");
	bed_set(bed, "dlq.max_ratio", "1");
	bed_sql(bed,
		"CREATE TABLE orders (account text PRIMARY KEY, n int, state text);"
		"DO $$ BEGIN FOR n IN 0..%d LOOP EXECUTE format('CREATE SEQUENCE tries_%%1$s;"
		" CREATE SEQUENCE sessions_%%1$s; CREATE SEQUENCE pid_%%1$s', n); END LOOP; END $$",
		STATES - 1);
	bed_sql(bed,
		"CREATE FUNCTION obey(a text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER"
		" AS $$ DECLARE o public.orders; last bigint; BEGIN"
		" SELECT * INTO o FROM public.orders WHERE account = a;"
		" IF NOT FOUND THEN RETURN true; END IF;"
		" PERFORM nextval('public.tries_' || o.n);"
		" EXECUTE 'SELECT last_value FROM public.pid_' || o.n INTO last;"
		" IF last <> pg_backend_pid() THEN"
		"  PERFORM setval('public.pid_' || o.n, pg_backend_pid());"
		"  PERFORM nextval('public.sessions_' || o.n); END IF;"
		" RAISE EXCEPTION 'order %% of a test', o.n USING ERRCODE = o.state; END $$");
	return bed;
}

/* By a trigger, at which the worker goes row by row; or by a CHECK, so that it comes as a surprise.
 */
static void refuse_by(struct bed *bed, bool trigger)
{
	if (!trigger) {
		bed_sql(bed, "ALTER TABLE ledger ADD CHECK (obey(account))");
		return;
	}
	bed_sql(bed, "CREATE FUNCTION obey_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
		     " PERFORM public.obey(NEW.account); RETURN NEW; END $$;"
		     "CREATE TRIGGER obey BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION"
		     " obey_row()");
}

static void give_orders(struct bed *bed)
{
	char account[16];
	for (int n = 0; n < STATES; n++) {
		bed_sql(bed, "INSERT INTO orders VALUES ('%d-b', %d, '%s')", n, n, policy[n].state);
		for (int i = 0; i < 3; i++) {
			snprintf(account, sizeof(account), "%d-%c", n, 'a' + i);
			ledger_send(bed, n, account, i, 1);
		}
	}
	bed_flush(bed);
}

/* --- what came of it --- */

static int64_t last(struct bed *bed, const char *what, int n)
{
	return bed_int(bed, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM %s_%d",
		       what, n);
}

/* The lane whose last error is of this order has a session, and is in this state. */
static bool lane_is(json_t *status, int n, const char *state)
{
	size_t i;
	json_t *lane;
	char said[64];
	snprintf(said, sizeof(said), "order %d of a test (SQLSTATE %s)", n, policy[n].state);
	json_array_foreach (json_object_get(status, "lanes"), i, lane) {
		const char *error = json_string_value(json_object_get(lane, "error"));
		if (error && strstr(error, said) &&
		    strcmp(json_string_value(json_object_get(lane, "state")), state) == 0)
			return json_is_true(json_object_get(lane, "connected"));
	}
	return false;
}

static bool is_buried(struct bed *bed, int n)
{
	return bed_int(bed,
		       "SELECT count(*) FROM memingest.dead_letters WHERE partition = %d"
		       " AND \"offset\" = 1 AND reason = '%s' AND strpos(detail, 'SQLSTATE %s') > "
		       "0",
		       n, policy[n].reason, policy[n].state) == 1 &&
	       bed_int(bed, "SELECT count(*) FROM ledger WHERE account IN ('%d-a', '%d-c')", n,
		       n) == 2;
}

static bool is_as_promised(struct bed *bed, json_t *status, int n)
{
	int64_t tries = last(bed, "tries", n), sessions = last(bed, "sessions", n);
	switch (policy[n].action) {
	case RETRIES:
		return tries >= 4 && sessions == 1;
	case RECONNECTS:
		return tries >= 4 && sessions >= tries;
	case SLOWLY:
		return tries <= 3 && sessions == 1 && lane_is(status, n, "waiting");
	case HOLDS:
		return sessions == 1 && lane_is(status, n, "halted");
	case BURIES:
		return sessions == 1 && is_buried(bed, n);
	}
	return false;
}

/* How many are not as promised yet; they are named once that is for good. */
static int missing(struct bed *bed, struct worker *w, bool *seen, bool tell)
{
	json_t *status = worker_status(w);
	int n = 0;
	for (int i = 0; i < STATES; i++) {
		seen[i] = seen[i] || is_as_promised(bed, status, i);
		n += !seen[i];
		if (!seen[i] && tell)
			printf("SQLSTATE %s: not as promised: %lld tries, %lld sessions\n",
			       policy[i].state, (long long)last(bed, "tries", i),
			       (long long)last(bed, "sessions", i));
	}
	json_decref(status);
	return n;
}

/*
 * Proves: what the policy says of each SQLSTATE is what happens when it is raised: the same batch
 * again, in the same session or another; slowly; not before an operator acts; or a dead letter. It
 * is for good that nothing but dead letters is lost: once the orders are withdrawn all the rest
 * lands. No state ends the process.
 */
START_TEST(each_state)
{
	struct bed *bed = states_bed();
	bool seen[ARRAY_LEN(policy)] = {false};
	int buried = 0;
	refuse_by(bed, _i == 0);
	give_orders(bed);
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	int64_t deadline = clock_mono_us() + 20 * US_PER_S;
	while (missing(bed, w, seen, false) > 0)
		ck_assert_msg(bed_tick(bed, deadline), "%d states are not as promised",
			      missing(bed, w, seen, true));
	bed_sql(bed, "TRUNCATE orders");
	bed_drain(bed, 30);
	for (int n = 0; n < STATES; n++)
		buried += policy[n].action == BURIES;
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), buried);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM ledger"), 3 * STATES - buried);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

static void sqlstate_tests(TCase *tc)
{
	tcase_add_loop_test(tc, each_state, 0, 2);
}
SYSTEM_SUITE("sqlstate", 60, sqlstate_tests)
