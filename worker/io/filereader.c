/*
 * filereader.c - the thread that reads files and decodes their records.
 *
 *   taker --go--> order --> [ empty ] --> read, decode --> [ full ] --> taker --give--> [ empty ]
 *
 * It runs ahead by BLOCKS blocks, which bounds its memory, and waits for one to come back. A disk
 * that is slow and a pipe in which nothing comes keep this thread, and nobody else. What it has is
 * given out when a pipe pauses.
 *
 * An order (a file and the number of a record) is good to the end of that file, and voids all that
 * was read by the one before. To find
 * the record the file is read from its beginning, without parsing what is passed over.
 *
 * Thread: reader_main() is its own; the rest the taker's. Failure: of a record, its own; of a file,
 * it ends there.
 */
#include "io/filereader.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "codec/plan.h"
#include "file/records.h"

enum { BLOCKS = 4, BLOCK_RECORDS = 1000, BLOCK_BYTES = 1 << 20, SKIP_RECORDS = 10000 };
#define WAKE_SIGNAL SIGUSR1

struct filereader {
	const struct files *files;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	/* Behind the lock. */
	struct file_block *empty, *full, **last; /* last: where the next full one goes */
	uint64_t order;                          /* 0: none yet */
	size_t file;
	int64_t number;
	bool stop;
	int fd; /* of the full ones */
	struct file_block blocks[BLOCKS];
	/* The thread's own. */
	struct records *records; /* NULL: the next one is to be opened */
	struct plan *plan;
	struct decoder *decoder;
	size_t at;       /* the file */
	int64_t next;    /* the record */
	uint64_t obeyed; /* the order */
};

/* ---- one record ---- */

/* The order is the newest still, as far as is known. */
static bool is_valid(struct filereader *r)
{
	pthread_mutex_lock(&r->lock);
	bool valid = !r->stop && r->order == r->obeyed;
	pthread_mutex_unlock(&r->lock);
	return valid;
}

static void close_file(struct filereader *r)
{
	records_close(r->records);
	plan_free(r->plan);
	r->records = NULL;
	r->plan = NULL;
}

/* At the record that comes next. */
static bool open_file(struct filereader *r, struct err *err)
{
	const struct file *file = &r->files->all[r->at];
	if (!files_begin(r->files, file, &r->records, &r->plan, err))
		return false;
	records_keep(r->records);
	for (int64_t left = r->next, n; left > 0 && is_valid(r); left -= n) {
		n = MIN(left, SKIP_RECORDS);
		if (!records_skip(r->records, n, err))
			return err->class == ERR_NONE &&
			       err_set(err, ERR_CONFIG,
				       "%s has fewer than the %lld records that were loaded",
				       file->path, (long long)r->next);
	}
	return true;
}

static struct file_record *add_record(struct filereader *r, struct file_block *b)
{
	struct file_record *x = &b->records[b->n++];
	*x = (struct file_record){
		.number = r->next++, .line = records_place(r->records).line, .row = b->bytes.len};
	return x;
}

/* Its dead letter will have the text as it stands in the file. */
static void add_bad(struct filereader *r, struct file_block *b, const struct record *record,
		    const struct err *why)
{
	struct slice raw = records_raw(r->records);
	struct file_record *x = add_record(r, b);
	x->record = *record;
	x->err = xmalloc(sizeof(*x->err));
	*x->err = *why;
	x->raw_len = raw.len;
	buf_put(&b->bytes, raw.data, raw.len);
}

static void add_datum(struct filereader *r, struct file_block *b, struct slice datum)
{
	struct record record = {0};
	struct err err = {0};
	size_t row = b->bytes.len;
	if (!decode_record(r->decoder, r->plan, datum, &b->bytes, &record, &err)) {
		records_blame(r->records, &err);
		add_bad(r, b, &record, &err);
		return;
	}
	struct file_record *x = add_record(r, b);
	x->row = row;
	x->ok = true;
	x->record = record;
}

static void end_file(struct filereader *r, struct file_block *b)
{
	b->ended = true;
	b->end = r->next;
	close_file(r);
	r->at = r->files->n; /* until the next order */
}

/* False: nothing comes behind it in this block. */
static bool read_one(struct filereader *r, struct file_block *b)
{
	struct slice datum;
	struct record bad = {.reason = REASON_DECODE};
	struct err err = {0};
	switch (records_next(r->records, &datum, &err)) {
	case RECORDS_RECORD:
		add_datum(r, b, datum);
		return true;
	case RECORDS_BAD:
		add_bad(r, b, &bad, &err);
		return true;
	case RECORDS_END:
		break;
	case RECORDS_BROKEN:
		if (err.class == ERR_RETRY)
			return false; /* woken: there is another order, or the end */
		b->err = err;
		break;
	}
	end_file(r, b);
	return false;
}

/* ---- blocks ---- */

/* With the lock. */
static void push_empty(struct filereader *r, struct file_block *b)
{
	b->next = r->empty;
	r->empty = b;
}

static void empty_block(struct file_block *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->records[i].err);
	b->n = b->bytes.len = 0;
	b->ended = false;
	err_clear(&b->err);
}

/* Until it is full, the file ends, or more would have to be waited for. */
static void fill(struct filereader *r, struct file_block *b)
{
	empty_block(b);
	b->file = r->at;
	b->order = r->obeyed;
	struct err err = {0};
	if (!r->records && !open_file(r, &err)) {
		b->err = err;
		end_file(r, b);
		return;
	}
	bool more = true;
	while (more && b->n < BLOCK_RECORDS && b->bytes.len < BLOCK_BYTES)
		more = read_one(r, b) && (!records_wait(r->records) || b->n == 0);
	b->read = r->records ? records_read(r->records) : r->files->all[b->file].bytes;
}

/* Blocks that nobody took are empty again. */
static void obey(struct filereader *r)
{
	if (r->obeyed == r->order)
		return;
	r->obeyed = r->order;
	r->at = r->file;
	r->next = r->number;
	close_file(r);
}

/* With the lock. NULL: to end. */
static struct file_block *await_work(struct filereader *r)
{
	for (;;) {
		if (r->stop)
			return NULL;
		obey(r);
		if (r->order > 0 && r->at < r->files->n && r->empty) {
			struct file_block *b = r->empty;
			r->empty = b->next;
			return b;
		}
		pthread_cond_wait(&r->work, &r->lock);
	}
}

/* With the lock. */
static void put_back(struct filereader *r, struct file_block *b)
{
	uint64_t one = 1;
	if (b->order != r->order || (b->n == 0 && !b->ended)) {
		push_empty(r, b);
		return;
	}
	b->next = NULL;
	*r->last = b;
	r->last = &b->next;
	if (write(r->fd, &one, sizeof(one)) < 0)
		abort(); /* the count is far from its limit */
}

static void *reader_main(void *arg)
{
	struct filereader *r = arg;
	struct file_block *b;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, WAKE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	pthread_setname_np(pthread_self(), "files");
	pthread_mutex_lock(&r->lock);
	while ((b = await_work(r))) {
		pthread_mutex_unlock(&r->lock);
		fill(r, b);
		pthread_mutex_lock(&r->lock);
		put_back(r, b);
	}
	pthread_mutex_unlock(&r->lock);
	close_file(r);
	return NULL;
}

/* ---- the taker's side ---- */

static void wake_handler(int number)
{
	(void)number; /* its work is that a read() returns */
}

struct filereader *filereader_start(const struct files *files)
{
	struct filereader *r = xcalloc(1, sizeof(*r));
	struct sigaction action = {.sa_handler = wake_handler};
	r->files = files;
	r->last = &r->full;
	r->decoder = decoder_new(&files->config->limits);
	r->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE);
	for (size_t i = 0; i < BLOCKS; i++) {
		r->blocks[i].records = xcalloc(BLOCK_RECORDS, sizeof(struct file_record));
		push_empty(r, &r->blocks[i]);
	}
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->work, NULL);
	sigaction(WAKE_SIGNAL, &action, NULL);
	if (r->fd < 0)
		abort();
	thread_start(&r->thread, reader_main, r);
	return r;
}

static struct file_block *pop_full(struct filereader *r)
{
	uint64_t count;
	struct file_block *b = r->full;
	if (!b)
		return NULL;
	r->full = b->next;
	if (!r->full)
		r->last = &r->full;
	if (read(r->fd, &count, sizeof(count)) < 0)
		abort(); /* one for each block */
	return b;
}

void filereader_go(struct filereader *r, size_t file, int64_t number)
{
	struct file_block *b;
	pthread_mutex_lock(&r->lock);
	r->order++;
	r->file = file;
	r->number = number;
	while ((b = pop_full(r)))
		push_empty(r, b);
	pthread_cond_signal(&r->work);
	pthread_mutex_unlock(&r->lock);
}

int filereader_fd(const struct filereader *r)
{
	return r->fd;
}

struct file_block *filereader_take(struct filereader *r)
{
	pthread_mutex_lock(&r->lock);
	struct file_block *b = pop_full(r);
	pthread_mutex_unlock(&r->lock);
	return b;
}

void filereader_give(struct filereader *r, struct file_block *b)
{
	pthread_mutex_lock(&r->lock);
	push_empty(r, b);
	pthread_cond_signal(&r->work);
	pthread_mutex_unlock(&r->lock);
}

/* The signal may come just before the read() that it is to end, so it is sent until it was heard.
 */
void filereader_stop(struct filereader *r)
{
	struct timespec until;
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->work);
	pthread_mutex_unlock(&r->lock);
	do {
		pthread_kill(r->thread, WAKE_SIGNAL);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += 20000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
	} while (pthread_clockjoin_np(r->thread, NULL, CLOCK_MONOTONIC, &until) == ETIMEDOUT);
	for (size_t i = 0; i < BLOCKS; i++) {
		empty_block(&r->blocks[i]);
		free(r->blocks[i].records);
		buf_free(&r->blocks[i].bytes);
	}
	decoder_free(r->decoder);
	close(r->fd);
	pthread_cond_destroy(&r->work);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
