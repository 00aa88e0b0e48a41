/*
 * chaos.h - one chaos run: the stack, two to four workers, a producer that never stops, and faults
 * drawn from a seed.
 *
 *   schedule.c     the seed's steps: which faults, held for how long, after how much progress
 *   supervisor.c   the run: strike, hold, heal, measure
 *   accounts.c     model and receipts against the tables
 *   receipts.c     what the broker acknowledged, beside the log
 *   books.c        where partitions stand, as the database says it: PostgreSQL, or a SQLite file
 *   sampler.c      each second: Kafka's offset against the database's, by a thread
 *   vitals.c       each second: memory, descriptors, threads of each worker
 *   verdict.c      what is found, in memory that outlives the run's process
 *   faults_*.c     the faults, one table a family
 *
 * How to write a fault: a row in a table of its family. strike() does the harm, heal() undoes it;
 * in both the producer goes on as long as they wait by CHAOS_WAIT(), chaos_for() and
 * chaos_stack(). What they draw comes from strike->random alone, so that a seed repeats. They may
 * assert (ck_assert): the run then ends, and its verdict says so. What a fault lets happen that is
 * a violation otherwise (a gap, an offset that falls, a topic created anew) it declares.
 */
#pragma once

#include <check.h>

#include "bed.h"
#include "broker.h"
#include "ledger.h"
#include "model.h"
#include "proxy.h"

#define CHAOS_WORKERS_MIN 2
#define CHAOS_WORKERS_MAX 4
#define CHAOS_STREAMS 2

/* The bounds of the issue, where a fault has no other. */
#define RECOVER_S 15
#define RECOVER_MEDIAN_S 5

/* Two faults at a time are of two scopes. */
enum fault_scope {
	SCOPE_WORKER,
	SCOPE_DATABASE_LINK,
	SCOPE_DATABASE,
	SCOPE_KAFKA_LINK,
	SCOPE_KAFKA,
	SCOPE_INPUT, /* what comes in: poison, schemas, the registry */
	SCOPE_FILE,  /* in place of both of the database's, where workers write a file */
};

enum fault_flags {
	FAULT_ALONE = 1,    /* never beside another */
	FAULT_MAY_FALL = 2, /* next_offset may fall, and Kafka's be ahead, until recovered */
};

struct chaos;
struct fault;

/* One use of a fault. */
struct strike {
	const struct fault *fault;
	uint64_t random;       /* of the seed, for whatever the fault has to choose */
	unsigned hold_ms;      /* as drawn; heal() is called that long after strike() returned */
	bool missed;           /* it did not come to it: not counted */
	struct worker *worker; /* for the fault's own use between strike and heal, as the next */
	int64_t number[4];
	char text[128];
};

struct fault {
	const char *name; /* "worker.kill": family and harm */
	enum fault_scope scope;
	unsigned flags;
	unsigned weight;     /* how often it is in the deck; 0 counts as 1 */
	unsigned hold_ms[2]; /* shortest and longest */
	/*
	 * Bound from heal to recovered. 0: RECOVER_S, with RECOVER_MEDIAN_S for the median of the
	 * kind; one of its own says that it waits for a deadline by its nature
	 */
	unsigned recover_s;
	/* NULL: always. Whether it can be done here and now; what cannot is left out, and noted */
	bool (*possible)(struct chaos *c);
	void (*strike)(struct chaos *c, struct strike *s);
	void (*heal)(struct chaos *c, struct strike *s); /* NULL: nothing to undo */
};

/* Tables, ended by a row without a name. */
extern const struct fault faults_worker[], faults_link[], faults_database[], faults_kafka[],
	faults_input[], faults_file[];

struct chaos {
	struct bed *bed;
	/* workers and commands go through them; database_link NULL: they write a file */
	struct proxy *database_link, *kafka_link;
	struct worker *workers[CHAOS_WORKERS_MAX];
	size_t nworkers;
	struct pace *paces[CHAOS_STREAMS];
	struct model *model;
	struct receipts *receipts;
	struct sampler *sampler;
	struct vitals *vitals;
	struct books *books; /* of the supervisor, for looking */
	bool paused;         /* no events come in */
	bool proving;        /* differences are wanted, and counted */
	int seen;
	int64_t began_us;
	int64_t next_look_us; /* at the vitals */
	int may_fall;         /* faults under way that declare it; the sampler reads it */
	unsigned falls;       /* how often that has begun */
};

/* --- waiting: the producer goes on, workers are watched --- */

/* One turn of up to 20 ms; false after the deadline. */
bool chaos_turn(struct chaos *c, int64_t deadline_us);
void chaos_for(struct chaos *c, int64_t ms);

#define CHAOS_WAIT(c, seconds, condition)                                                          \
	do {                                                                                       \
		int64_t chaos_deadline_ = clock_mono_us() + (seconds)*US_PER_S;                    \
		while (!(condition))                                                               \
			ck_assert_msg(chaos_turn(c, chaos_deadline_), "not within %d s: %s",       \
				      (int)(seconds), #condition);                                 \
	} while (0)

/* stack_do() with the producer going on. */
void chaos_stack(struct chaos *c, const char *verb, const char *action, const char *option);

/* Until that many more events are durable. */
void chaos_progress(struct chaos *c, int64_t events);
/*
 * Until what is acknowledged by now is durable; the run ends with "after" where that takes longer.
 * Returns how long it took.
 */
int64_t chaos_catch_up(struct chaos *c, const char *after, int64_t limit_us);
/* Offsets that are durable, in all; -1: the database does not say now. */
int64_t chaos_durable(struct chaos *c);
/* The same of one partition. */
int64_t chaos_next_offset(struct chaos *c, const char *topic, int partition);

/*
 * No events come in, all that came is durable, and the model and the receipts have been compared up
 * to here. For faults that take away what the log holds, or move keys to other partitions; it goes
 * on with chaos_resume().
 */
void chaos_settle(struct chaos *c);
void chaos_resume(struct chaos *c);

/* --- workers --- */

/* One of the living ones. */
struct worker *chaos_pick(struct chaos *c, uint64_t random);
struct worker *chaos_join(struct chaos *c);
/* It is about to end by somebody's hand: no longer one of the run's. */
void chaos_leaves(struct chaos *c, struct worker *w);
/* Sent SIGTERM before: ends with 0 within that time, the producer going on. */
void chaos_ends(struct chaos *c, struct worker *w, int seconds);
/* By SIGTERM, in order. */
void chaos_all_leave(struct chaos *c);
void chaos_some_join(struct chaos *c, size_t n);
/*
 * An operator's command that moves a partition, which succeeds. Where workers write a file it is
 * given without them.
 */
void chaos_operate(struct chaos *c, const char *line);

/* --- what happened --- */

/* A line of the run's history. */
void chaos_note(struct chaos *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* What must not be. The run goes on. */
void chaos_violation(struct chaos *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The accounts do not come out: a violation, unless that was wanted. */
void chaos_difference(struct chaos *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* --- what a fault declares --- */

/* These offsets were given up, by an operator's word: nobody asks for them. */
void chaos_gap(struct chaos *c, const char *topic, int partition, int64_t from, int64_t to);
/*
 * After chaos_settle() the topic was created anew and adopted: its offsets begin at 0 again, the
 * rows of the old one stay.
 */
void chaos_new_topic(struct chaos *c, const char *topic);

/* --- the run, for main.c --- */

struct chaos_options {
	uint64_t seed;
	double minutes;
	bool new_librdkafka;
	bool file;          /* workers write a SQLite file */
	const char *faults; /* "name,name"; NULL: all */
	const char *tamper; /* NULL, or "ledger", "table", "books", "dead" */
};

/*
 * faults_file.c: workers and commands use a file from now on; on a disk of its own if that can be,
 * which the parent makes and removes, however the run ends.
 */
void file_lay(struct chaos *c);
void file_disk_make(void);
void file_disk_remove(void);
/* The living worker that the file's lock names, or NULL. */
struct worker *file_writer(struct chaos *c);

/* In the process of the run; what it found is in the verdict. */
void chaos_run(const struct chaos_options *options);
