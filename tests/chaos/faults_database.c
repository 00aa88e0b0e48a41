/*
 * faults_database.c - what happens to PostgreSQL, and to the table "ledger" in it.
 *
 *   server    stopped, killed, frozen, a standby in its place, an old copy in its place
 *   sessions  ended, cancelled, none let in, none may write
 *   table     locked, its rows held, rights taken, DDL, triggers, no space
 *
 * What is done by SQL goes straight to the server as superuser, past the proxies. A transaction
 * that stays open over a fault has a session of its own (the_other), since the run's own is asked
 * all the time. A server that comes back by itself is awaited in the strike: what the run asks it
 * next must be answered.
 *
 * Thread: the run's. One fault of this file at a time (they are of one scope), hence the statics.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "chaos.h"
#include "schedule.h"

#define HERE "datname = current_database() AND application_name LIKE 'memingest/lane%%'"

static struct pg *the_other;

static struct pg *try_session(struct chaos *c)
{
	struct config config = {
		.pg_dsn = c->bed->dsn,
		.pg_statement_timeout_us = 60 * US_PER_S,
		.pg_lock_timeout_us = 30 * US_PER_S,
		.pg_connect_timeout_us = 2 * US_PER_S,
	};
	struct err err = {0};
	return pg_connect(&config, "chaos", -1, &err);
}

static void await_server(struct chaos *c)
{
	struct pg *pg;
	CHAOS_WAIT(c, 30, (pg = try_session(c)) != NULL);
	pg_free(pg);
}

/* --- the server --- */

static void stop_fast(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "pg", "stop", "fast");
}

static void stop_immediate(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "pg", "stop", "immediate");
}

static void start(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "pg", "start", NULL);
}

static void freeze(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "pg", "freeze", NULL);
}

static void thaw(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "pg", "thaw", NULL);
}

/* From here on the standby lacks what is committed. */
static void cut_standby(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "standby", "start", NULL);
	chaos_stack(c, "standby", "cut", NULL);
}

static void promote(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "standby", "promote", NULL);
}

static void backup(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "pg", "backup", NULL);
}

static void restore(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "pg", "restore", NULL);
}

/* --- its processes --- */

static void kill_process(struct chaos *c, const char *which)
{
	int64_t pid = bed_int(c->bed,
			      "SELECT coalesce((SELECT pid FROM pg_stat_activity WHERE %s"
			      " ORDER BY backend_xid IS NULL LIMIT 1), 0)",
			      which);
	if (pid > 0 && kill((pid_t)pid, SIGKILL) == 0)
		chaos_note(c, "kill -9 of PostgreSQL's process %d", (int)pid);
	await_server(c);
}

/* PostgreSQL ends all sessions when one dies so, since shared memory may be wrong. */
static void kill_backend(struct chaos *c, struct strike *s)
{
	(void)s;
	kill_process(c, "application_name LIKE 'memingest/lane%'");
}

static void kill_helper(struct chaos *c, struct strike *s)
{
	static const char *const helpers[] = {
		"backend_type = 'checkpointer'", "backend_type = 'walwriter'",
		"backend_type = 'background writer'", "backend_type = 'autovacuum launcher'"};
	kill_process(c, helpers[s->random % ARRAY_LEN(helpers)]);
}

/* --- sessions --- */

/* One of them, or all. */
static void terminate(struct chaos *c, struct strike *s)
{
	bed_int(c->bed,
		"SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity "
		"WHERE " HERE " ORDER BY backend_xid IS NULL LIMIT %d) AS p",
		s->random % 2 ? 1 : 100);
}

static void cancel(struct chaos *c, struct strike *s)
{
	for (unsigned i = 0; i < 5 + s->random % 10; i++) {
		bed_int(c->bed,
			"SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE " HERE);
		chaos_for(c, 20 + (int64_t)(mix(s->random + i) % 100));
	}
}

/* As on a server that was a primary until a moment ago. */
static void set_read_only(struct chaos *c, struct strike *s)
{
	(void)s;
	bed_sql(c->bed, "ALTER SYSTEM SET default_transaction_read_only = on");
	bed_sql(c->bed, "SELECT pg_reload_conf()");
}

static void set_writable(struct chaos *c, struct strike *s)
{
	(void)s;
	bed_sql(c->bed, "ALTER SYSTEM RESET default_transaction_read_only");
	bed_sql(c->bed, "SELECT pg_reload_conf()");
}

/* No session is let in, or one for all. */
static void take_connections(struct chaos *c, struct strike *s)
{
	bed_sql(c->bed, "ALTER ROLE %s CONNECTION LIMIT %d", c->bed->role, (int)(s->random % 2));
	bed_int(c->bed,
		"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = "
		"'%s'",
		c->bed->role);
}

static void give_connections(struct chaos *c, struct strike *s)
{
	(void)s;
	bed_sql(c->bed, "ALTER ROLE %s CONNECTION LIMIT -1", c->bed->role);
}

/*
 * All of them, each by itself, since some may not be in a transaction. What a try before has begun
 * is rolled back.
 */
static bool try_all(struct pg *pg, const char *const sql[2], struct err *err)
{
	bool ok =
		pg_exec(pg,
			"ROLLBACK; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = "
			"'0.5s'",
			NULL, 0, err);
	for (int i = 0; i < 2 && sql[i] && ok; i++)
		ok = pg_exec(pg, sql[i], NULL, 0, err);
	return ok;
}

/*
 * Returns the session that did it. A worker that is frozen in a transaction keeps its locks until
 * the server or the next owner of the partition ends it. So a lock is asked for again and again,
 * and nobody queues behind us.
 */
static struct pg *insist(struct chaos *c, const char *const sql[2])
{
	struct err err = {0};
	struct pg *pg = NULL;
	bool done = false;
	CHAOS_WAIT(c, 30, (pg = try_session(c)) != NULL);
	CHAOS_WAIT(c, 60,
		   (done = try_all(pg, sql, &err)) || !pg_ok(pg) || strcmp(err.code, "55P03") != 0);
	ck_assert_msg(done, "%s: %s", sql[0], err.text);
	return pg;
}

static void run(struct chaos *c, const char *const sql[2])
{
	pg_free(insist(c, sql));
}

static void run_one(struct chaos *c, const char *sql)
{
	run(c, (const char *const[2]){sql});
}

/* --- a transaction of somebody else --- */

static void other_does(struct chaos *c, const char *sql)
{
	the_other = insist(c, (const char *const[2]){"BEGIN", sql});
}

static void lock_table(struct chaos *c, struct strike *s)
{
	static const char *const locks[] = {"LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE",
					    "LOCK TABLE ledger IN SHARE MODE"};
	other_does(c, locks[s->random % ARRAY_LEN(locks)]);
}

static void hold_rows(struct chaos *c, struct strike *s)
{
	char sql[128];
	snprintf(sql, sizeof(sql), "SELECT FROM ledger ORDER BY random() LIMIT %d FOR UPDATE",
		 1 + (int)(s->random % 20));
	other_does(c, sql);
}

/* The row that a batch swaps and that a claim locks. */
static void hold_offsets(struct chaos *c, struct strike *s)
{
	(void)s;
	other_does(c,
		   "SELECT FROM memingest.offsets WHERE partition >= 0 ORDER BY random() LIMIT 1 "
		   "FOR UPDATE");
}

static void other_ends(struct chaos *c, struct strike *s)
{
	struct err err = {0};
	(void)c;
	ck_assert_msg(pg_exec(the_other, s->random % 3 ? "COMMIT" : "ROLLBACK", NULL, 0, &err),
		      "%s", err.text);
	pg_free(the_other);
	the_other = NULL;
}

/* --- the table --- */

/* What is done to the table, and undone. */
struct change {
	const char *there[2], *back[2];
};

static const struct change rights[] = {
	{{"REVOKE INSERT ON ledger FROM memingest"}, {"GRANT INSERT ON ledger TO memingest"}},
	{{"REVOKE UPDATE ON ledger FROM memingest"}, {"GRANT UPDATE ON ledger TO memingest"}},
	{{"REVOKE DELETE ON ledger FROM memingest"}, {"GRANT DELETE ON ledger TO memingest"}},
	{{"REVOKE USAGE ON SCHEMA memingest FROM memingest"},
	 {"GRANT USAGE ON SCHEMA memingest TO memingest"}},
	{{"REVOKE ALL ON ledger FROM memingest", "ALTER TABLE ledger OWNER TO postgres"},
	 {"ALTER TABLE ledger OWNER TO memingest", "GRANT ALL ON ledger TO memingest"}},
};

static const struct change changes[] = {
	{{"ALTER TABLE ledger ADD COLUMN extra integer DEFAULT 7 NOT NULL"},
	 {"ALTER TABLE ledger DROP COLUMN extra"}},
	{{"ALTER TABLE ledger ALTER COLUMN lowest TYPE numeric"},
	 {"ALTER TABLE ledger ALTER COLUMN lowest TYPE bigint"}},
	{{"CREATE INDEX extra ON ledger (last, event_time)"}, {"DROP INDEX extra"}},
	{{"DROP INDEX IF EXISTS extra", "CREATE INDEX CONCURRENTLY extra ON ledger (note)"},
	 {"DROP INDEX extra"}},
	{{"CREATE UNIQUE INDEX extra ON ledger (account, event_time)"}, {"DROP INDEX extra"}},
	{{"VACUUM FULL ledger"}, {NULL}},
	{{"CLUSTER ledger USING ledger_pkey"}, {NULL}},
	{{"ALTER TABLE ledger RENAME TO elsewhere"}, {"ALTER TABLE elsewhere RENAME TO ledger"}},
	{{"ALTER TABLE ledger RENAME COLUMN note TO elsewhere"},
	 {"ALTER TABLE ledger RENAME COLUMN elsewhere TO note"}},
	{{"CREATE OR REPLACE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS"
	  " $$BEGIN RETURN NEW; END$$",
	  "CREATE TRIGGER pass BEFORE INSERT OR UPDATE ON ledger FOR EACH ROW EXECUTE FUNCTION "
	  "pass()"},
	 {"DROP TRIGGER pass ON ledger"}},
	{{"ALTER TABLE ledger SET UNLOGGED"}, {"ALTER TABLE ledger SET LOGGED"}},
	{{"ALTER TABLE ledger ALTER COLUMN event_time SET STATISTICS 1000", "ANALYZE ledger"},
	 {NULL}},
};

static const struct change *one_of(const struct change *all, size_t n, const struct strike *s)
{
	return &all[s->random % n];
}

static void take_rights(struct chaos *c, struct strike *s)
{
	run(c, one_of(rights, ARRAY_LEN(rights), s)->there);
}

static void give_rights(struct chaos *c, struct strike *s)
{
	run(c, one_of(rights, ARRAY_LEN(rights), s)->back);
}

static void change_table(struct chaos *c, struct strike *s)
{
	const struct change *change = one_of(changes, ARRAY_LEN(changes), s);
	chaos_note(c, "%s", change->there[0]);
	run(c, change->there);
}

static void change_back(struct chaos *c, struct strike *s)
{
	run(c, one_of(changes, ARRAY_LEN(changes), s)->back);
}

static void vacuum(struct chaos *c, struct strike *s)
{
	static const char *const ways[] = {
		"VACUUM ANALYZE ledger", "VACUUM (FREEZE, TRUNCATE) ledger", "ANALYZE",
		"REINDEX TABLE ledger",  "VACUUM FULL memingest.offsets",    "CHECKPOINT"};
	run_one(c, ways[s->random % ARRAY_LEN(ways)]);
}

/*
 * Statements fail half of the time, for reasons that are nobody's fault and pass. Never an event's,
 * so there must be no dead letter.
 */
static void raise_errors(struct chaos *c, struct strike *s)
{
	static const char *const states[] = {"40001", "40P01", "55P03", "57014", "53100", "53200"};
	bed_sql(c->bed,
		"CREATE OR REPLACE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS"
		" $$BEGIN IF random() < 0.5 THEN RAISE 'by chance' USING ERRCODE = '%s'; END IF;"
		" RETURN NULL; END$$",
		states[s->random % ARRAY_LEN(states)]);
	run_one(c, "CREATE TRIGGER raise AFTER INSERT OR UPDATE OR DELETE ON ledger"
		   " FOR EACH STATEMENT EXECUTE FUNCTION raise()");
}

static void raise_none(struct chaos *c, struct strike *s)
{
	(void)s;
	run_one(c, "DROP TRIGGER raise ON ledger");
}

/* --- no space --- */

static bool try_stack(const char *verb, const char *action)
{
	const char *const argv[] = {"tests/stack", verb, action, stack.dir, NULL};
	return wait_exit(spawn(argv, NULL, NULL)) == 0;
}

/* A file system of a known size takes root, and a container may forbid it to root too. */
static bool can_mount(struct chaos *c)
{
	static int known = -1;
	(void)c;
	if (known < 0)
		known = geteuid() == 0 && try_stack("disk", "make") && try_stack("disk", "remove");
	return known;
}

static void fill_disk(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "disk", "make", NULL);
	run_one(c, "ALTER TABLE ledger SET TABLESPACE small");
	chaos_stack(c, "disk", "fill", NULL);
}

static void free_disk(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "disk", "free", NULL);
	run_one(c, "ALTER TABLE ledger SET TABLESPACE pg_default");
	chaos_stack(c, "disk", "remove", NULL);
}

/* A write-ahead log that can not be written to is a PANIC: the server crashes, and can not start.
 */
static void fill_wal(struct chaos *c, struct strike *s)
{
	struct err err = {0};
	struct pg *pg;
	(void)s;
	chaos_stack(c, "disk", "wal", NULL);
	CHAOS_WAIT(c, 30, (pg = try_session(c)) != NULL);
	chaos_stack(c, "disk", "fill", NULL);
	/* segments are prepared ahead of time: through them */
	CHAOS_WAIT(c, 60, !pg_exec(pg, "SELECT pg_switch_wal()", NULL, 0, &err));
	pg_free(pg);
}

static void free_wal(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "disk", "free", NULL);
	chaos_stack(c, "disk", "remove", NULL);
}

/*
 * Bounds of their own: what an operator has to mend is tried every 10 s, and refused logins after
 * up to twice the time that they were refused; and what a server has lost is read again.
 */
#define LOOK_S 15
#define REPEAT_S 15

#define DATABASE(fault, shortest, longest, ...)                                                    \
	{                                                                                          \
		.name = "database." fault, .scope = SCOPE_DATABASE,                                \
		.hold_ms = {shortest, longest}, __VA_ARGS__                                        \
	}

const struct fault faults_database[] = {
	DATABASE("stop_fast", 500, 8000, .strike = stop_fast, .heal = start),
	DATABASE("stop_immediate", 0, 5000, .strike = stop_immediate, .heal = start, .weight = 2),
	DATABASE("freeze", 1000, 15000, .strike = freeze, .heal = thaw, .weight = 2),
	DATABASE("failover", 500, 4000, .strike = cut_standby, .heal = promote, .weight = 2,
		 .recover_s = REPEAT_S, .flags = FAULT_MAY_FALL),
	DATABASE("restore", 500, 5000, .strike = backup, .heal = restore, .recover_s = REPEAT_S,
		 .flags = FAULT_MAY_FALL),
	DATABASE("kill_backend", 0, 0, .strike = kill_backend, .weight = 2),
	DATABASE("kill_helper", 0, 0, .strike = kill_helper),
	DATABASE("terminate", 0, 0, .strike = terminate, .weight = 2),
	DATABASE("cancel", 0, 0, .strike = cancel),
	DATABASE("read_only", 500, 8000, .strike = set_read_only, .heal = set_writable),
	DATABASE("connections", 500, 12000, .strike = take_connections, .heal = give_connections,
		 .recover_s = LOOK_S),
	DATABASE("lock", 1000, 12000, .strike = lock_table, .heal = other_ends, .weight = 2),
	DATABASE("rows_held", 1000, 12000, .strike = hold_rows, .heal = other_ends),
	DATABASE("offsets_held", 1000, 12000, .strike = hold_offsets, .heal = other_ends),
	DATABASE("rights", 500, 8000, .strike = take_rights, .heal = give_rights,
		 .recover_s = LOOK_S),
	DATABASE("ddl", 500, 4000, .strike = change_table, .heal = change_back, .weight = 4,
		 .recover_s = LOOK_S),
	DATABASE("vacuum", 0, 0, .strike = vacuum),
	DATABASE("raise", 500, 4000, .strike = raise_errors, .heal = raise_none),
	DATABASE("disk_full", 1000, 8000, .strike = fill_disk, .heal = free_disk,
		 .recover_s = LOOK_S, .possible = can_mount),
	DATABASE("wal_full", 500, 3000, .strike = fill_wal, .heal = free_wal,
		 .possible = can_mount),
	{0},
};
