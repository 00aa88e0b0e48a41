/*
 * filesource.c - files as a source of events: their records in the order of the files, dealt out to
 * partitions by their keys.
 *
 *   filereader --block--> record --by key--> partition 0 .. 7 of its file --> ops->message
 *
 * Each file is a topic of FILES_PARTITIONS partitions, of which every record belongs to one; its
 * number is its offset there, so each partition has only some of the offsets, as in a compacted
 * topic. That is how the records of a key stay in their order although lanes share the file, and
 * how what is durable of a file is known by as many numbers.
 *
 * A partition knows the number after the last record that was handed over (next). A record below it
 * was handed over before, and is passed by. Where the pipeline starts a partition at a lower number
 * than that, what it had was not written: the file is read again from there.
 *
 *   next record --> its partition fetches? --no--> kept in hand, nothing is handed over until it
 *                                                  does (a file is one sequence)
 *
 * Thread: the poll thread. Failure: of a record, it is handed over with the reason; of a file, it
 * ends there, and the view has the reason; a pipe that would have to be read again is fatal.
 */
#include "io/filesource.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/log.h"
#include "io/filereader.h"

struct filepart {
	struct source_partition sp;
	size_t file;
	bool on, begun;
	int64_t next;    /* the record after the last that was handed over */
	int64_t durable; /* as far as we were told */
};

struct filesource {
	struct source base;
	const struct files *files;
	const struct source_ops *ops;
	void *ctx;
	struct filereader *reader;
	struct filepart *parts; /* FILES_PARTITIONS for each file */
	size_t nparts;
	int64_t *ends; /* by file: how many records it has; -1 not known yet */
	bool *sent;    /* the reader was there */
	bool assigned, left, dead;
	/* Where the reader is, if it was told to go there: the file, and the record that comes
	 * next. */
	size_t at;
	bool going;
	int64_t comes;
	struct file_block *block; /* being handed over; NULL: none */
	size_t taken;             /* of its records */
	/* The first file with records that have to be handed over again and that the reader would
	 * not come to; SIZE_MAX: none. */
	size_t again_file;
	struct filesource_view view;
};

static struct filepart *parts_of(struct filesource *s, size_t file)
{
	return &s->parts[file * FILES_PARTITIONS];
}

/* ---- where to read ---- */

static bool all_on(const struct filesource *s, size_t file)
{
	bool on = true;
	for (size_t i = 0; i < FILES_PARTITIONS; i++)
		on &= s->parts[file * FILES_PARTITIONS + i].on;
	return on;
}

/* Everything below was handed over to every partition. */
static int64_t least_next(struct filesource *s, size_t file)
{
	int64_t least = INT64_MAX;
	for (size_t i = 0; i < FILES_PARTITIONS; i++)
		least = MIN(least, parts_of(s, file)[i].next);
	return least;
}

static void drop_block(struct filesource *s)
{
	if (s->block)
		filereader_give(s->reader, s->block);
	s->block = NULL;
}

/* Whether the reader comes to that record, or is on its way: a file is begun at least_next(). */
static bool comes_to(const struct filesource *s, size_t file, int64_t number)
{
	return s->at < file || (s->at == file && (!s->going || s->comes <= number));
}

static void fatal(struct filesource *s, const struct err *why)
{
	if (!s->dead)
		s->ops->fatal(s->ctx, why);
	s->dead = true;
}

/* The reader is sent where the next record is, if it is not on its way there. */
static void direct_reader(struct filesource *s)
{
	bool back = s->again_file != SIZE_MAX;
	if (s->going && !back)
		return;
	size_t file = back ? s->again_file : s->at;
	if (s->files->all[file].pipe && s->sent[file]) {
		const struct err why = {.class = ERR_FATAL,
					.text = "what was read of standard input was not written, "
						"and cannot be read again"};
		fatal(s, &why);
		return;
	}
	drop_block(s);
	s->at = file;
	s->comes = least_next(s, file);
	filereader_go(s->reader, file, s->comes);
	s->going = s->sent[file] = true;
	s->again_file = SIZE_MAX;
}

/* Whether there may be something to hand over. */
static bool may_read(const struct filesource *s)
{
	size_t file = s->again_file != SIZE_MAX ? s->again_file : s->at;
	return !s->dead && !s->left && file < s->files->n && all_on(s, file);
}

/* ---- one record ---- */

static struct filepart *part_of_record(struct filesource *s, const struct file_record *x)
{
	const uint8_t *row = s->block->bytes.data + x->row;
	uint64_t n = x->ok ? XXH3_64bits(row, x->record.key_len) : (uint64_t)x->number;
	return &parts_of(s, s->block->file)[n % FILES_PARTITIONS];
}

/* False: no more for now. A record whose partition was paused over it stays in hand. */
static bool hand_over(struct filesource *s, const struct file_record *x, bool *taken)
{
	struct filepart *part = part_of_record(s, x);
	const struct file *file = &s->files->all[s->block->file];
	const uint8_t *bytes = s->block->bytes.data + x->row;
	*taken = true;
	if (x->number < part->next)
		return true;
	char *place = x->ok ? NULL : files_place_json(file, x->number, x->line);
	const struct decoded decoded = {.ok = x->ok,
					.row = {bytes, x->record.row_len},
					.record = x->record,
					.err = x->err,
					.headers = place};
	const struct source_message m = {.sp = &part->sp,
					 .offset = x->number,
					 .timestamp_ms = -1,
					 .leader_epoch = -1,
					 .value = {bytes, x->ok ? x->record.row_len : x->raw_len},
					 .decoded = &decoded};
	part->next = x->number + 1;
	bool more = s->ops->message(s->ctx, &m);
	free(place);
	*taken = part->on;
	s->view.records += part->on;
	return more && part->on;
}

/* Behind the last record of a file. */
static void end_of_file(struct filesource *s, const struct file_block *b)
{
	if (s->ends[b->file] < 0)
		s->view.in_files += (uint64_t)b->end;
	s->ends[b->file] = b->end;
	if (b->err.class == ERR_CONFIG || b->err.class == ERR_FATAL)
		fatal(s, &b->err);
	if (b->err.class != ERR_NONE && s->view.damage.class == ERR_NONE)
		s->view.damage = b->err;
	s->at = b->file + 1;
	s->view.file = s->at;
	s->going = false; /* the reader rests */
}

/* The next block, if there is one. */
static bool next_block(struct filesource *s)
{
	if (s->block && s->taken < s->block->n)
		return true;
	if (s->block && s->block->ended)
		end_of_file(s, s->block);
	drop_block(s);
	if (!may_read(s))
		return false;
	direct_reader(s);
	s->block = s->dead ? NULL : filereader_take(s->reader);
	s->taken = 0;
	if (!s->block)
		return false;
	s->view.file = s->block->file;
	s->view.read = s->block->read;
	for (size_t i = 0; i < s->block->file; i++)
		s->view.read += s->files->all[i].bytes;
	return true;
}

/* ---- what the pipeline asks ---- */

static void assign_all(struct filesource *s)
{
	struct source_partition **sps = xcalloc(s->nparts, sizeof(struct source_partition *));
	for (size_t i = 0; i < s->nparts; i++)
		sps[i] = &s->parts[i].sp;
	s->assigned = true;
	s->ops->assigned(s->ctx, sps, s->nparts);
	free(sps);
}

/* Partitions whose last records lie before the end of the file, until that is durable. */
static void tell_ends(struct filesource *s)
{
	for (size_t i = 0; i < s->nparts; i++) {
		struct filepart *part = &s->parts[i];
		int64_t end = s->ends[part->file];
		bool read = s->at > part->file &&
			    (s->again_file == SIZE_MAX || s->again_file > part->file);
		if (part->on && end >= 0 && read && part->durable < end)
			s->ops->eof(s->ctx, &part->sp, end);
		else if (part->on && end < 0)
			s->ops->eof(s->ctx, &part->sp, 0); /* it is alive */
	}
}

static size_t poll_files(void *self, size_t max)
{
	struct filesource *s = self;
	size_t n = 0;
	if (!s->assigned)
		assign_all(s);
	for (bool more = true, taken; more && n < max && may_read(s); n++) {
		if (s->again_file != SIZE_MAX)
			direct_reader(s);
		if (s->dead || !next_block(s))
			break;
		if (s->taken == s->block->n) /* an end, and no records */
			continue;
		const struct file_record *x = &s->block->records[s->taken];
		more = hand_over(s, x, &taken);
		s->taken += taken;
		s->comes = x->number + taken;
	}
	tell_ends(s);
	return n;
}

static int files_fd(const void *self)
{
	const struct filesource *s = self;
	return may_read(s) ? filereader_fd(s->reader) : -1;
}

static void pause_part(void *self, struct source_partition *sp)
{
	(void)self;
	((struct filepart *)sp->internal)->on = false;
}

static bool start_part(void *self, struct source_partition *sp, int64_t offset, struct err *err)
{
	struct filesource *s = self;
	struct filepart *part = sp->internal;
	(void)err;
	if (part->begun && offset < part->next && !comes_to(s, part->file, offset))
		s->again_file = MIN(s->again_file, part->file);
	part->on = part->begun = true;
	part->next = offset;
	return true;
}

static int64_t end_of_part(void *self, const struct source_partition *sp)
{
	const struct filesource *s = self;
	return s->ends[((const struct filepart *)sp->internal)->file];
}

static void note_durable(void *self, struct source_partition *const *sps, const int64_t *next,
			 size_t n)
{
	(void)self;
	for (size_t i = 0; i < n; i++)
		((struct filepart *)sps[i]->internal)->durable = next[i];
}

static void note_durable_now(void *self, struct source_partition *const *sps, const int64_t *next,
			     size_t n, int timeout_ms)
{
	(void)timeout_ms;
	note_durable(self, sps, next, n);
}

static bool is_joined(const void *self)
{
	return ((const struct filesource *)self)->assigned;
}

static void reload(void *self)
{
	(void)self; /* there is nothing to be read anew */
}

static bool leave(void *self, int wait_ms)
{
	struct filesource *s = self;
	(void)wait_ms;
	if (s->left || !s->assigned)
		return true;
	struct source_partition **sps = xcalloc(s->nparts, sizeof(struct source_partition *));
	for (size_t i = 0; i < s->nparts; i++)
		sps[i] = &s->parts[i].sp;
	s->left = true;
	s->ops->revoked(s->ctx, sps, s->nparts, false);
	free(sps);
	return true;
}

static void abandon(void *self, int wait_ms)
{
	(void)self;
	(void)wait_ms;
}

static bool close_files(void *self, int leave_ms)
{
	struct filesource *s = self;
	leave(s, leave_ms);
	drop_block(s);
	filereader_stop(s->reader);
	free(s->parts);
	free(s->ends);
	free(s->sent);
	free(s);
	return true;
}

void filesource_look(const struct source *s, struct filesource_view *view)
{
	*view = ((const struct filesource *)s->self)->view;
}

/* ---- open ---- */

static const struct source_class files_class = {
	.fd = files_fd,
	.poll = poll_files,
	.pause = pause_part,
	.start = start_part,
	.high_watermark = end_of_part,
	.commit = note_durable,
	.commit_now = note_durable_now,
	.joined = is_joined,
	.reload = reload,
	.leave = leave,
	.abandon = abandon,
	.close = close_files,
};

struct source *filesource_open(void *self, const struct config *config,
			       const struct source_ops *ops, void *ctx, struct err *err)
{
	struct filesource *s = xcalloc(1, sizeof(*s));
	(void)config;
	(void)err;
	s->base = (struct source){.class = &files_class, .self = s};
	s->files = self;
	s->ops = ops;
	s->ctx = ctx;
	s->nparts = s->files->n * FILES_PARTITIONS;
	s->parts = xcalloc(s->nparts, sizeof(*s->parts));
	s->ends = xcalloc(s->files->n, sizeof(*s->ends));
	s->sent = xcalloc(s->files->n, sizeof(*s->sent));
	s->again_file = SIZE_MAX;
	for (size_t i = 0; i < s->nparts; i++) {
		struct filepart *part = &s->parts[i];
		part->file = i / FILES_PARTITIONS;
		part->durable = -1;
		part->sp = (struct source_partition){.topic = s->files->all[part->file].topic,
						     .partition = (int32_t)(i % FILES_PARTITIONS),
						     .internal = part};
		s->ends[part->file] = -1;
	}
	s->reader = filereader_start(s->files);
	return &s->base;
}
