/*
 * fill.c - rows that have a text and no vector in a column get one, by the model that makes those
 * of events.
 *
 *   table --SELECT by key--> window --wants--> model (model.c) --> vectors
 *     ^                                                              |
 *     '------ UPDATE, where vector is null and text is the same -----'
 *
 * Why rows lack it: "embed" came into the schema after them, or a second column for another model
 * did, on_poison was null, somebody wrote them by hand. Workers may run meanwhile, and write the
 * same rows: what they write stays. So nothing is locked while the model is asked, and a vector
 * goes only to a row that still has none and the very text that was asked for; a row that somebody
 * holds at that moment is tried again for lock_timeout, then left for another run. (Not here:
 * vectors of another model in place of old ones. They get a column of their own.)
 *
 *   a row of the window:  HERE --offered--> ASKED --> HAS --written--> filled
 *                                             |        '--> held, changed
 *                                             '--> REFUSED
 *
 * What is done needs no note: a row with a vector is not looked for again. What was paid for is in
 * the cache before it is in its row (archive.h), so a run that was killed pays again at most for
 * what was under way.
 *
 * Of PostgreSQL or a SQLite file, which the statements know (fillsql.h). A file has no locks of
 * rows: another program's is of the whole file, and is tried again the same way.
 *
 * Memory: one window, of WINDOW_ROWS and about WINDOW_BYTES of text, three times (as
 * rows, as JSON, in requests), and the model's own. No transaction is open while the model is
 * asked; the one that writes a window is one statement.
 *
 * Thread: the caller's. One wait: the HTTP client's; the database's end by the signal as well.
 */
#include "embed/fill.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec/vector.h"
#include "embed/fillsql.h"
#include "embed/model.h"
#include "io/embed_answer.h"
#include "sqlite/asker.h"

enum { BYTES_PER_TOKEN = 3 };
#define PATIENCE_US (60 * US_PER_S)     /* with a model that is away */
#define STOP_US (10 * US_PER_S)         /* for what is under way, once it is to stop */
#define HELD_AGAIN_US (200 * US_PER_MS) /* a row that somebody holds */
#define TURN "embed"
#define STATEMENT_US (24 * INT64_C(3600) * US_PER_S) /* one that looks at the whole table */

enum row_state { ROW_HERE, ROW_ASKED, ROW_HAS, ROW_REFUSED };

struct row {
	struct want want;
	enum row_state state;
};

struct fill {
	struct fill_means means;
	const struct table *table;
	const struct table_embed *embed;
	const struct embed_config *config;
	const struct column *column; /* of the vector */
	struct asker db;
	bool mine; /* it is this one's turn */
	struct archive *archive;
	struct http_client *http;
	struct model model;
	struct fillsql sql;

	/* The window. */
	struct answer *texts; /* key, text and handle of each row */
	struct row rows[WINDOW_ROWS];
	size_t n, offered, pending; /* pending: of those offered, the ones that are ASKED */
	uint8_t *vectors;           /* of each row, big-endian float4 */
	uint8_t *field;             /* to see whether the column has room for the numbers */
	int64_t reserved;           /* tokens of what is ASKED, about */
	int64_t progress_us;        /* when the last one was settled */
	char **last;                /* the handle of the last row of the window before */
	bool begun;                 /* there was one */

	struct fill_counts counts;
	bool impatient;  /* rows were held for all of lock_timeout, and none free since */
	int64_t stop_us; /* a signal came: until then it may go on; 0: none */
	char halted[ERR_TEXT_SIZE]; /* on_poison = halt; empty: it is not */
};

int64_t fill_tokens_about(int64_t bytes)
{
	return bytes / BYTES_PER_TOKEN + 1;
}

struct fill_counts fill_counts(const struct fill *f)
{
	return f->counts;
}

static bool is_file(const struct fill *f)
{
	return f->means.config->sqlite_path != NULL;
}

/* --- the session --- */

/* A look at the whole table takes what it takes. A window is found by its keys, row by row. */
static bool set_up(struct fill *f, struct err *err)
{
	if (!asker_open_heeding(&f->db, f->means.config, "embed", f->means.stop_fd, err))
		return false;
	if (is_file(f))
		return true;
	pg_set_timeout(f->db.pg, STATEMENT_US);
	return pg_exec(f->db.pg,
		       "SET statement_timeout = 0; SET idle_session_timeout = 0;"
		       " SET enable_hashjoin = off; SET enable_mergejoin = off",
		       NULL, 0, err);
}

bool fill_take_turn(struct fill *f, bool *mine, struct err *err)
{
	bool ok = asker_take_turn(&f->db, TURN, table_full_name(f->table), mine, err);
	f->mine = *mine;
	return ok;
}

/* It may have ended while the model was asked; its turn with it, which somebody else may have. */
static bool have_session(struct fill *f, struct err *err)
{
	bool mine = true;
	if (asker_alive(&f->db))
		return true;
	asker_close(&f->db);
	if (!set_up(f, err) || (f->mine && !fill_take_turn(f, &mine, err)))
		return false;
	return mine || err_set(err, ERR_RETRY,
			       "the session was lost, and another one is at work "
			       "on table %s by now",
			       table_full_name(f->table));
}

bool fill_busy(const struct fill *f, const struct err *err)
{
	return asker_busy(&f->db, err);
}

/* What lacks is what migrate makes; of a file it is said already. */
static void advise(struct err *err)
{
	if (strcmp(err->code, "42P01") == 0 || strcmp(err->code, "42703") == 0)
		err_wrap(err, "run \"memingest migrate\"");
}

/* --- what came of a text --- */

static const char *text_of(const struct fill *f, size_t i)
{
	return answer_value(f->texts, i, f->table->nkeys);
}

static int64_t tokens_of(const struct fill *f, size_t i)
{
	return fill_tokens_about((int64_t)(strlen(f->embed->prefix) + f->rows[i].want.bytes.len));
}

/* False: the column has no room for such numbers. */
static bool take_vector(struct fill *f, size_t i, const uint8_t *vector)
{
	size_t size = 4 * (size_t)f->column->dim;
	uint8_t *mine = f->vectors + i * size;
	memcpy(mine, vector, size);
	if (f->embed->normalize)
		embed_normalize(mine, f->column->dim);
	return vector_fill(f->field, f->column, mine);
}

static void leave_out(struct fill *f, size_t i, const char *why)
{
	struct buf key = {0};
	for (size_t k = 0; k < f->table->nkeys; k++)
		buf_printf(&key, "%s%s", k ? "/" : "", answer_value(f->texts, i, k));
	f->counts.refused++;
	f->means.refused(f->means.ctx, buf_cstr(&key), why);
	buf_free(&key);
	if (f->config->on_poison == POISON_HALT)
		snprintf(f->halted, sizeof(f->halted), "%s (embed.%s.on_poison = halt)", why,
			 f->config->name);
}

/* Of model.h. */
static bool on_settled(void *ctx, struct want *want, const uint8_t *vector, const char *why,
		       const struct want_cost *cost)
{
	struct fill *f = ctx;
	size_t i = want->number;
	int64_t about = tokens_of(f, i);
	bool fits = vector && take_vector(f, i, vector);
	assert(f->rows[i].state == ROW_ASKED);
	f->rows[i].state = fits ? ROW_HAS : ROW_REFUSED;
	f->pending--;
	f->reserved -= about;
	f->progress_us = clock_mono_us();
	if (vector) {
		f->counts.texts += !cost->cached;
		f->counts.cached += cost->cached;
		f->counts.tokens += cost->cached ? 0 : cost->tokens > 0 ? cost->tokens : about;
	}
	if (!fits)
		leave_out(f, i, why ? why : "the vector has numbers beyond what the column holds");
	return true;
}

/* --- asking --- */

static bool is_ending(const struct fill *f)
{
	return f->stop_us > 0 || f->halted[0] != '\0';
}

/* The next row, if the budget has room for its text. */
static bool offer_next(struct fill *f)
{
	size_t i = f->offered;
	if (i == f->n || is_ending(f))
		return false;
	int64_t about = tokens_of(f, i);
	int64_t spent = f->means.spent + f->counts.tokens + f->reserved;
	if (f->means.max_tokens > 0 && spent + about > f->means.max_tokens)
		return false;
	f->offered++;
	f->pending++;
	f->reserved += about;
	f->rows[i].state = ROW_ASKED;
	model_want(&f->model, f->embed->prefix, &f->rows[i].want);
	return true;
}

/* Of what is ASKED, all, or only what is in no request. */
static void take_back(struct fill *f, bool all)
{
	for (size_t i = 0; i < f->offered; i++) {
		struct row *row = &f->rows[i];
		if (row->state != ROW_ASKED || (!all && row->want.text->place == TEXT_ASKED))
			continue;
		texts_leave(&row->want);
		row->state = ROW_HERE;
		f->pending--;
		f->reserved -= tokens_of(f, i);
	}
}

bool fill_stopped(struct fill *f)
{
	struct signalfd_siginfo info;
	while (read(f->means.stop_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		f->stop_us = f->stop_us > 0 ? 1 : clock_mono_us() + STOP_US;
	return f->stop_us > 0;
}

/* False: nothing can be had of the model as things are. */
static bool may_wait(const struct fill *f, struct err *err)
{
	const struct model *m = &f->model;
	int64_t now = clock_mono_us(), patience = MAX(PATIENCE_US, 2 * m->config->timeout_us);
	if (m->state == MODEL_HALTED)
		return err_set(err, ERR_CONFIG, "%s", m->why);
	if (m->why[0] != '\0' && now - f->progress_us > patience)
		return err_set(err, ERR_RETRY, "no vector for %d s: %s", (int)(patience / US_PER_S),
			       m->why);
	return true;
}

/* A turn of the model, and a wait. False: err, or it is to stop and has waited long enough. */
static bool wait_for_model(struct fill *f, struct err *err)
{
	http_client_turn(f->http);
	int64_t now = clock_mono_us(), next = model_turn(&f->model, now);
	if (is_ending(f))
		take_back(f, false);
	if (f->pending == 0)
		return true;
	if ((f->stop_us > 0 && now >= f->stop_us) || !may_wait(f, err))
		return false;
	f->means.watch(f->means.ctx);
	http_client_wait_for(f->http, f->means.stop_fd, MIN(next, now + US_PER_S));
	(void)fill_stopped(f);
	return true;
}

/* Until each row of the window has what it gets. */
static enum fill_result ask_model(struct fill *f, struct err *err)
{
	f->progress_us = clock_mono_us();
	for (;;) {
		while (offer_next(f))
			continue;
		if (f->pending == 0)
			break;
		if (wait_for_model(f, err))
			continue;
		take_back(f, true);
		if (f->stop_us == 0)
			return FILL_FAILED;
	}
	if (f->halted[0] != '\0') {
		(void)err_set(err, ERR_CONFIG, "%s", f->halted);
		return FILL_FAILED;
	}
	if (f->stop_us > 0)
		return FILL_STOPPED;
	return f->offered < f->n ? FILL_SPENT : FILL_MORE;
}

/* --- reading --- */

/* What ended a call: a signal, or what err says. */
static enum fill_result why_failed(struct fill *f, struct err *err)
{
	advise(err);
	return fill_stopped(f) ? FILL_STOPPED : FILL_FAILED;
}

static bool read_window(struct fill *f, struct err *err)
{
	if (!have_session(f, err))
		return false;
	const char *sql = f->begun ? f->sql.next : f->sql.first;
	f->texts = asker_query(&f->db, ASKER_TEXT(sql), (const char *const *)f->last,
			       f->begun ? f->sql.parts : 0, err);
	if (!f->texts)
		return false;
	f->n = answer_count(f->texts);
	f->offered = f->pending = 0;
	assert(f->n <= WINDOW_ROWS && f->reserved == 0);
	for (size_t i = 0; i < f->n; i++) {
		const char *text = text_of(f, i);
		f->rows[i] = (struct row){
			.want = {.bytes = {(const uint8_t *)text, strlen(text)},
				 .number = (uint32_t)i},
		};
	}
	return true;
}

/* The next one begins behind its last row. */
static void leave_window(struct fill *f)
{
	for (size_t k = 0; f->n > 0 && k < f->sql.parts; k++) {
		free(f->last[k]);
		f->last[k] = xstrdup(answer_value(f->texts, f->n - 1, f->sql.handle + k));
		f->begun = true;
	}
	answer_free(f->texts);
	f->texts = NULL;
	f->n = 0;
}

/* --- writing --- */

static json_t *vector_json(const struct fill *f, size_t i)
{
	struct buf text = {0};
	const uint8_t *be = f->vectors + i * 4 * f->column->dim;
	for (size_t d = 0; d < f->column->dim; d++) {
		uint32_t bits = get_be32(be + 4 * d);
		float number;
		memcpy(&number, &bits, sizeof(number));
		buf_puts(&text, d ? "," : "[");
		buf_real(&text, (double)number, true);
	}
	buf_puts(&text, "]");
	json_t *json = json_stringn((const char *)text.data, text.len);
	buf_free(&text);
	return json;
}

/* As the statement wants it: see fillsql.h. */
static json_t *row_json(const struct fill *f, size_t i)
{
	const struct table *t = f->table;
	if (is_file(f))
		return json_pack("[I, s, o]", (json_int_t)answer_int(f->texts, i, f->sql.handle),
				 text_of(f, i), vector_json(f, i));
	json_t *row = json_object();
	for (size_t k = 0; k < t->nkeys; k++)
		json_object_set_new(row, t->columns[k].name,
				    json_string(answer_value(f->texts, i, k)));
	json_object_set_new(row, t->columns[f->embed->text].name, json_string(text_of(f, i)));
	json_object_set_new(row, f->column->name, vector_json(f, i));
	return row;
}

/* Rows that have a vector; NULL: there is none. */
static char *window_json(const struct fill *f, int64_t *n)
{
	json_t *all = json_array();
	for (size_t i = 0; i < f->n; i++)
		if (f->rows[i].state == ROW_HAS)
			json_array_append_new(all, row_json(f, i));
	*n = (int64_t)json_array_size(all);
	char *text = *n > 0 ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	return text;
}

/* *held: rows that want theirs still, as somebody has them. */
static bool write_once(struct fill *f, const char *json, int64_t *held, int64_t *filled,
		       struct err *err)
{
	struct answer *rows = asker_query(&f->db, ASKER_TEXT(f->sql.write), &json, 1, err);
	if (!rows)
		return false;
	int64_t n = is_file(f) ? answer_affected(rows) : answer_int(rows, 0, 1);
	*held = is_file(f) ? 0 : answer_int(rows, 0, 0) - n;
	*filled += n;
	answer_free(rows);
	return true;
}

/* Again, while others hold rows; a deadlock, too, is over by then. */
static bool write_rows(struct fill *f, const char *json, int64_t *held, int64_t *filled,
		       struct err *err)
{
	int64_t patience = f->impatient ? 0 : f->means.config->pg_lock_timeout_us;
	int64_t until = clock_mono_us() + patience;
	for (;;) {
		bool ok = write_once(f, json, held, filled, err), late = clock_mono_us() >= until;
		if (ok && (*held == 0 || late || is_ending(f)))
			return true;
		if (!ok && (late || err->class != ERR_RETRY || !asker_ok(&f->db)))
			return false;
		http_client_wait_for(f->http, f->means.stop_fd, clock_mono_us() + HELD_AGAIN_US);
		(void)fill_stopped(f);
	}
}

static bool write_window(struct fill *f, struct err *err)
{
	int64_t n, held = 0, filled = 0;
	char *json = window_json(f, &n);
	bool ok = !json || (have_session(f, err) && write_rows(f, json, &held, &filled, err));
	free(json);
	f->counts.filled += filled;
	f->counts.held += held;
	if (ok)
		f->counts.changed += n - filled - held;
	if (n > 0)
		f->impatient = held > 0;
	for (size_t i = 0; i < f->n; i++)
		f->counts.rows += f->rows[i].state == ROW_HAS || f->rows[i].state == ROW_REFUSED;
	return ok;
}

/* What is paid for is written, whatever ends it. */
enum fill_result fill_window(struct fill *f, struct err *err)
{
	struct err wrong = {0};
	if (fill_stopped(f))
		return FILL_STOPPED;
	if (!read_window(f, err))
		return why_failed(f, err);
	enum fill_result result = f->n > 0 ? ask_model(f, err) : FILL_END;
	if (!write_window(f, &wrong)) {
		*err = wrong;
		result = why_failed(f, err);
	}
	leave_window(f);
	return result;
}

/* --- before and after --- */

struct fill *fill_open(const struct fill_means *means, struct err *err)
{
	struct fill *f = xcalloc(1, sizeof(*f));
	f->means = *means;
	f->table = means->stream->table;
	f->embed = &f->table->embeds[means->embed];
	f->config = means->stream->embeds[means->embed];
	f->column = &f->table->columns[f->embed->vector];
	f->vectors = xmalloc((size_t)WINDOW_ROWS * 4 * f->column->dim);
	f->db = asker_of(NULL);
	fillsql_make(&f->sql, f->table, f->embed, means->config->sqlite_path != NULL);
	f->last = xcalloc(f->sql.parts, sizeof(*f->last));
	f->field = xmalloc(vector_field_size(f->column));
	f->archive = archive_new(means->config, -1); /* its statements are short */
	f->http = http_client_new();
	model_open(&f->model, f->config, f->column->dim, f->archive, f->http, on_settled, f);
	if (set_up(f, err))
		return f;
	fill_close(f);
	return NULL;
}

void fill_close(struct fill *f)
{
	if (!f)
		return;
	if (f->mine)
		asker_end_turn(&f->db, TURN, table_full_name(f->table));
	model_close(&f->model);
	archive_free(f->archive);
	http_client_free(f->http);
	asker_close(&f->db);
	for (size_t k = 0; k < f->sql.parts; k++)
		free(f->last[k]);
	free(f->last);
	free(f->vectors);
	free(f->field);
	fillsql_free(&f->sql);
	free(f);
}

bool fill_count(struct fill *f, int64_t *rows, int64_t *bytes, struct err *err)
{
	struct answer *answer = asker_query(&f->db, ASKER_TEXT(f->sql.count), NULL, 0, err);
	if (!answer) {
		advise(err);
		return false;
	}
	*rows = answer_int(answer, 0, 0);
	*bytes = answer_int(answer, 0, 1) + *rows * (int64_t)strlen(f->embed->prefix);
	answer_free(answer);
	return true;
}
