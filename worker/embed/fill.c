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
 * Memory: one window, of WINDOW_ROWS and about WINDOW_BYTES of text, three times (as rows, as JSON,
 * in requests), and the model's own. No transaction is open while the model is asked; the one that
 * writes a window is one statement.
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
#include "core/sqlname.h"
#include "embed/model.h"
#include "io/embed_answer.h"
#include "io/pg.h"

enum { WINDOW_ROWS = 512, WINDOW_BYTES = 4 << 20, BYTES_PER_TOKEN = 3 };
#define PATIENCE_US (60 * US_PER_S)                  /* with a model that is away */
#define STOP_US (10 * US_PER_S)                      /* for what is under way, once it is to stop */
#define HELD_AGAIN_US (200 * US_PER_MS)              /* a row that somebody holds */
#define STATEMENT_US (24 * INT64_C(3600) * US_PER_S) /* one that looks at the whole table */
#define LOCK_CLASS "1701667429" /* the first of the lock's two numbers: "embe" */

extern const char sql_embed_window[], sql_embed_fill[]; /* worker/sql */

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
	struct pg *pg;
	bool mine; /* it is this one's turn */
	struct archive *archive;
	struct http_client *http;
	struct model model;
	char *first, *next, *write; /* statements */

	/* The window. */
	struct pg_rows *texts; /* key and text of each row */
	struct row rows[WINDOW_ROWS];
	size_t n, offered, pending; /* pending: of those offered, the ones that are ASKED */
	uint8_t *vectors;           /* of each row, big-endian float4 */
	uint8_t *field;             /* to see whether the column has room for the numbers */
	int64_t reserved;           /* tokens of what is ASKED, about */
	int64_t progress_us;        /* when the last one was settled */
	char **last;                /* the key of the last row of the window before */
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

/* --- statements --- */

/* What a row that gets its vector changes beside it, as an event does: see core/conflict.c. */
static void put_set(const struct table *t, size_t vector, struct buf *out)
{
	buf_puts(out, ", \"updated_at\" = now()");
	if (table_is_searched(t, vector))
		buf_puts(out, ", \"search_xid\" = pg_current_xact_id()");
}

/* Whatever the text's collation thinks is equal. */
static void put_same(const char *vector, const char *text, struct buf *out)
{
	buf_printf(out, "t.%s IS NULL AND t.%s::text COLLATE \"C\" = m.%s::text COLLATE \"C\"",
		   vector, text, text);
}

/* Behind the key that the parameters are. */
static void put_after(const struct table *t, struct buf *out)
{
	buf_puts(out, " AND (");
	sqlname_keys(out, t, "t");
	buf_puts(out, ") > (");
	for (size_t i = 0; i < t->nkeys; i++)
		buf_printf(out, "%s$%zu", i ? ", " : "", i + 1);
	buf_puts(out, ")");
}

enum { TABLE, VECTOR, TEXT, T_KEYS, R_KEYS, W_KEYS, T_IS_M, SAME, SET, AFTER, WORDS };

/* The words that both texts have; that of "after" stays empty. */
static void put_words(const struct fill *f, struct buf words[WORDS])
{
	const struct table *t = f->table;
	sqlname_table(t, &words[TABLE]);
	buf_quoted(&words[VECTOR], f->column->name, '"');
	buf_quoted(&words[TEXT], t->columns[f->embed->text].name, '"');
	sqlname_keys(&words[T_KEYS], t, "t");
	sqlname_keys(&words[R_KEYS], t, "r");
	sqlname_keys(&words[W_KEYS], t, "w");
	sqlname_same_key(&words[T_IS_M], t, "t", "m");
	put_same(buf_cstr(&words[VECTOR]), buf_cstr(&words[TEXT]), &words[SAME]);
	put_set(t, f->embed->vector, &words[SET]);
}

static char *fill_in(const char *sql, struct buf words[WORDS])
{
	static const char *const names[WORDS] = {"table",  "vector", "text", "t_keys", "r_keys",
						 "w_keys", "t_is_m", "same", "set",    "after"};
	struct sqlname_word all[WORDS + 2] = {{"rows", "512"}, {"bytes", "4194304"}};
	struct buf out = {0};
	static_assert(WINDOW_ROWS == 512 && WINDOW_BYTES == 4194304, "as the words say");
	for (size_t i = 0; i < WORDS; i++)
		all[2 + i] = (struct sqlname_word){names[i], buf_cstr(&words[i])};
	sqlname_fill(&out, sql, all, WORDS + 2);
	return buf_take_text(&out);
}

static void make_statements(struct fill *f)
{
	struct buf words[WORDS] = {0};
	put_words(f, words);
	f->first = fill_in(sql_embed_window, words);
	f->write = fill_in(sql_embed_fill, words);
	put_after(f->table, &words[AFTER]);
	f->next = fill_in(sql_embed_window, words);
	for (size_t i = 0; i < WORDS; i++)
		buf_free(&words[i]);
}

/* What lacks is what migrate makes. */
static void advise(struct err *err)
{
	if (strcmp(err->code, "42P01") == 0 || strcmp(err->code, "42703") == 0)
		err_wrap(err, "run \"memingest migrate\"");
}

/* --- the session --- */

/* A look at the whole table takes what it takes. A window is found by its keys, row by row. */
static bool set_up(struct fill *f, struct err *err)
{
	f->pg = pg_connect(f->means.config, "embed", f->means.stop_fd, err);
	if (!f->pg)
		return false;
	pg_set_timeout(f->pg, STATEMENT_US);
	return pg_exec(f->pg,
		       "SET statement_timeout = 0; SET idle_session_timeout = 0;"
		       " SET enable_hashjoin = off; SET enable_mergejoin = off",
		       NULL, 0, err);
}

bool fill_take_turn(struct fill *f, bool *mine, struct err *err)
{
	const char *params[] = {table_full_name(f->table)};
	struct pg_rows *rows = pg_query(
		f->pg, "SELECT pg_try_advisory_lock(" LOCK_CLASS ", hashtext($1))", params, 1, err);
	*mine = f->mine = rows && pg_bool(rows, 0, 0);
	pg_rows_free(rows);
	return rows != NULL;
}

/* By word, as the server may end a session some time after it was closed, and another is next. */
static void end_turn(struct fill *f)
{
	const char *params[] = {table_full_name(f->table)};
	struct err ignored = {0};
	struct pg_rows *rows = NULL;
	if (f->mine && f->pg && pg_ok(f->pg))
		rows = pg_query(f->pg, "SELECT pg_advisory_unlock(" LOCK_CLASS ", hashtext($1))",
				params, 1, &ignored);
	pg_rows_free(rows);
}

/* It may have ended while the model was asked; its turn with it, which somebody else may have. */
static bool have_session(struct fill *f, struct err *err)
{
	bool mine = true;
	if (f->pg && pg_alive(f->pg))
		return true;
	pg_free(f->pg);
	f->pg = NULL;
	if (!set_up(f, err) || (f->mine && !fill_take_turn(f, &mine, err)))
		return false;
	return mine || err_set(err, ERR_RETRY,
			       "the session was lost, and another one is at work "
			       "on table %s by now",
			       table_full_name(f->table));
}

/* --- what came of a text --- */

static const char *text_of(const struct fill *f, size_t i)
{
	return pg_value(f->texts, i, f->table->nkeys);
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
		buf_printf(&key, "%s%s", k ? "/" : "", pg_value(f->texts, i, k));
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
	f->texts = pg_query(f->pg, f->begun ? f->next : f->first, (const char *const *)f->last,
			    f->begun ? f->table->nkeys : 0, err);
	if (!f->texts)
		return false;
	f->n = pg_rows_count(f->texts);
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
	for (size_t k = 0; f->n > 0 && k < f->table->nkeys; k++) {
		free(f->last[k]);
		f->last[k] = xstrdup(pg_value(f->texts, f->n - 1, k));
		f->begun = true;
	}
	pg_rows_free(f->texts);
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

static json_t *row_json(const struct fill *f, size_t i)
{
	const struct table *t = f->table;
	json_t *row = json_object();
	for (size_t k = 0; k < t->nkeys; k++)
		json_object_set_new(row, t->columns[k].name, json_string(pg_value(f->texts, i, k)));
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
	struct pg_rows *rows = pg_query(f->pg, f->write, &json, 1, err);
	if (!rows)
		return false;
	*held = pg_int(rows, 0, 0) - pg_int(rows, 0, 1);
	*filled += pg_int(rows, 0, 1);
	pg_rows_free(rows);
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
		if (!ok && (late || err->class != ERR_RETRY || !pg_ok(f->pg)))
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
	f->last = xcalloc(f->table->nkeys, sizeof(*f->last));
	f->field = xmalloc(vector_field_size(f->column));
	f->archive = archive_new(means->config, -1); /* its statements are short */
	f->http = http_client_new();
	make_statements(f);
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
	end_turn(f);
	model_close(&f->model);
	archive_free(f->archive);
	http_client_free(f->http);
	pg_free(f->pg);
	for (size_t k = 0; k < f->table->nkeys; k++)
		free(f->last[k]);
	free(f->last);
	free(f->vectors);
	free(f->field);
	free(f->first);
	free(f->next);
	free(f->write);
	free(f);
}

bool fill_count(struct fill *f, int64_t *rows, int64_t *bytes, struct err *err)
{
	struct buf words[WORDS] = {0};
	put_words(f, words);
	char *sql = fill_in("SELECT count(*), coalesce(sum(octet_length(t.:text::text)), 0)"
			    " FROM :table t WHERE t.:vector IS NULL AND t.:text <> ''",
			    words);
	struct pg_rows *answer = pg_query(f->pg, sql, NULL, 0, err);
	if (answer) {
		*rows = pg_int(answer, 0, 0);
		*bytes = pg_int(answer, 0, 1) + *rows * (int64_t)strlen(f->embed->prefix);
	} else {
		advise(err);
	}
	for (size_t i = 0; i < WORDS; i++)
		buf_free(&words[i]);
	free(sql);
	pg_rows_free(answer);
	return answer != NULL;
}
