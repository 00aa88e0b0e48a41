/*
 * cmd_search.c - "memingest search": the rows of a stream's table that are nearest to a question.
 *
 *   text ---- the endpoint of the field's "embed" ----+
 *                                                     +--> memingest.search_TABLE() --> lines
 *   --vector, a JSON array of numbers ----------------+
 *
 * In a SQLite file each row's vector is compared (memingest_distance(), sqlite/shown.h): exact, and
 * the nearest so many are all that is kept; by sqlite-vec's functions where the config names it.
 * The two questions are search_sql.c's.
 *
 * For trying and for scripts: the way out of what the workers put in, through the same function
 * that an application calls, by the same model. The database is asked last, once, in one statement;
 * where the table has several searched columns it is asked first which one is live. No session is
 * open while the endpoint thinks.
 *
 * Texts of rows are somebody else's: on a terminal what could steer it is replaced. --json has them
 * as they are.
 *
 * Exit code: 0 also for nothing found; 64 for what the stream does not have; 65 for a vector or a
 * filter's value that is none, and a text that the endpoint refuses; 69 and 75 for servers that are
 * away or busy; 78 for what an operator has to mend.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/suggest.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "cli/search.h"
#include "cli/wrap.h"
#include "core/stream.h"
#include "io/embed_call.h"
#include "sqlite/asker.h"

enum { MOST_ROWS = 1000, KEY_WIDTH = 28 };

static const struct column *vector_column(const struct search *s)
{
	return &s->stream->table->columns[search_column(s)];
}

/* --- what is asked for --- */

static int read_count(struct search *s)
{
	const char *text = cli_option(s->cli, "k", "10");
	char *end;
	s->k = strtol(text, &end, 10);
	if (end != text && *end == '\0' && s->k >= 1 && s->k <= MOST_ROWS)
		return EXIT_OK;
	return cli_fail(EXIT_USAGE, "search: --k wants a number from 1 to %d, not \"%s\"",
			MOST_ROWS, text);
}

/* Complains about a filter that there is not, and names those that there are. */
static int unknown_filter(const struct search *s, const char *name)
{
	const struct table *t = s->stream->table;
	struct suggest nearest = suggest_for(name);
	struct buf list = {0};
	for (size_t i = 0; i < t->searches[0].nfilters; i++) {
		const char *known = t->columns[t->searches[0].filters[i]].name;
		buf_printf(&list, "%s%s", i ? ", " : "", known);
		suggest_offer(&nearest, known);
	}
	const char *best = nearest.best;
	cli_fail(EXIT_USAGE, "search: %s has no filter \"%s\"%s%s%s; %s%s", s->stream->config->name,
		 name, best ? "; did you mean " : "", best ? best : "", best ? "?" : "",
		 list.len ? "there are: " : "its schema names none (\"search\": {\"filter\": ...})",
		 buf_cstr(&list));
	buf_free(&list);
	return EXIT_USAGE;
}

/* COLUMN=VALUE */
static int read_filter(struct search *s, const char *text)
{
	const struct table *t = s->stream->table;
	size_t len = strcspn(text, "=");
	if (text[len] == '\0' || len == 0)
		return cli_fail(EXIT_USAGE, "search: --filter %s: write COLUMN=VALUE", text);
	for (size_t i = 0; i < t->searches[0].nfilters; i++) {
		const struct column *c = &t->columns[t->searches[0].filters[i]];
		if (strlen(c->name) != len || strncmp(c->name, text, len) != 0)
			continue;
		for (size_t k = 0; k < s->nfilters; k++)
			if (s->filters[k].column == c)
				return cli_fail(EXIT_USAGE,
						"search: two values for the filter %s, and no row "
						"has both",
						c->name);
		s->filters[s->nfilters++] = (struct wanted){.column = c, .value = text + len + 1};
		return EXIT_OK;
	}
	char *name = xasprintf("%.*s", (int)len, text);
	int code = unknown_filter(s, name);
	free(name);
	return code;
}

/* A question in words takes a model, and the model of the vectors that are searched. */
static int check_model(const struct search *s)
{
	const struct table *t = s->stream->table;
	const char *stream = s->stream->config->name;
	if (t->nembeds == 0)
		return cli_fail(EXIT_USAGE,
				"search: the vectors of %s come with its events, so no model is "
				"known that makes one of your text: give the vector itself with "
				"--vector FILE, or say \"embed\" in the schema",
				stream);
	if (table_embed_of(t, search_column(s)) < 0)
		return cli_fail(EXIT_USAGE,
				"search: %s searches column %s, while \"embed\" stands at column "
				"%s: give the vector itself with --vector FILE",
				stream, vector_column(s)->name,
				t->columns[t->embeds[0].vector].name);
	return EXIT_OK;
}

/* What stands behind the stream's name. */
static int read_question(struct search *s)
{
	const struct cli *cli = s->cli;
	s->vector_path = cli_option(cli, "vector", NULL);
	s->text = cli->argc > 1 ? cli->argv[1] : NULL;
	if (cli->argc > 2)
		return cli_fail(EXIT_USAGE,
				"search: what is \"%s\"? a text of several words "
				"stands in quotes",
				cli->argv[2]);
	if (!s->text == !s->vector_path)
		return cli_fail(EXIT_USAGE, "search: %s",
				s->text ? "a text or --vector FILE, not both"
					: "for what? write STREAM \"TEXT\", or --vector FILE");
	if (s->text && s->text[strspn(s->text, " \t\n")] == '\0')
		return cli_fail(EXIT_USAGE, "search: the text is empty");
	return read_count(s);
}

/* The named one; else the first, or which one is live is asked for later. */
static int choose_column(struct search *s)
{
	const struct table *t = s->stream->table;
	const char *name = cli_option(s->cli, "column", NULL);
	struct buf names = {0};
	s->asks_live = !name && t->nsearches > 1 && !s->cli->config->sqlite_path;
	for (s->index = 0; name && s->index < t->nsearches; s->index++) {
		if (strcmp(vector_column(s)->name, name) == 0)
			break;
		buf_printf(&names, "%s%s", s->index ? ", " : "", vector_column(s)->name);
	}
	int code =
		s->index < t->nsearches
			? EXIT_OK
			: cli_fail(EXIT_USAGE,
				   "search: column %s of stream %s is not searched; these are: %s",
				   name, s->stream->config->name, buf_cstr(&names));
	buf_free(&names);
	return code;
}

/* The stream has a search, and it can be asked so. */
static int check_stream(struct search *s)
{
	const char *filter;
	if (s->stream->table->nsearches == 0)
		return cli_fail(EXIT_USAGE,
				"search: no field of stream %s has \"search\" in its schema",
				s->stream->config->name);
	int code = choose_column(s);
	if (code == EXIT_OK && s->text && !s->asks_live)
		code = check_model(s);
	for (size_t i = 0; code == EXIT_OK && (filter = cli_option_at(s->cli, "filter", i)) != NULL;
	     i++)
		code = read_filter(s, filter);
	return code;
}

/* --- the vector --- */

/* From big-endian float4 to SQL. */
static void put_vector(struct buf *out, const struct buf *be)
{
	for (size_t i = 0; i < be->len; i += 4) {
		uint32_t bits = get_be32(be->data + i);
		float f;
		memcpy(&f, &bits, sizeof(f));
		buf_puts(out, i ? "," : "[");
		buf_real(out, (double)f, true);
	}
	buf_puts(out, "]");
}

static bool embed_text(struct search *s, struct err *err)
{
	const struct table *t = s->stream->table;
	int at = table_embed_of(t, search_column(s));
	const struct table_embed *embed = &t->embeds[at];
	struct buf be = {0};
	struct slice text = {(const uint8_t *)s->text, strlen(s->text)};
	bool ok = embed_once(s->stream->embeds[at], embed->query_prefix, text,
			     vector_column(s)->dim, embed->normalize, &be, err);
	if (ok)
		put_vector(&s->vector, &be);
	buf_free(&be);
	return ok;
}

static bool put_numbers(struct search *s, const json_t *json, struct err *err)
{
	size_t n = json_array_size(json), dim = vector_column(s)->dim;
	if (!json_is_array(json) || n != dim)
		return err_set(err, ERR_POISON, "--vector %s: an array of %zu numbers is wanted%s",
			       s->vector_path, dim,
			       json_is_array(json) ? ", it has another length" : "");
	for (size_t i = 0; i < n; i++) {
		const json_t *number = json_array_get(json, i);
		double v = json_number_value(number);
		if (!json_is_number(number) || !isfinite((float)v))
			return err_set(err, ERR_POISON,
				       "--vector %s: element %zu is no number "
				       "that fits a vector",
				       s->vector_path, i);
		buf_puts(&s->vector, i ? "," : "[");
		buf_real(&s->vector, v, true);
	}
	buf_puts(&s->vector, "]");
	return true;
}

static bool read_vector(struct search *s, struct err *err)
{
	json_error_t where;
	bool standard = strcmp(s->vector_path, "-") == 0;
	FILE *f = standard ? stdin : fopen(s->vector_path, "r");
	if (!f)
		return err_set(err, ERR_POISON, "--vector %s: %s", s->vector_path, strerror(errno));
	json_t *json = json_loadf(f, 0, &where);
	bool ok = json ? put_numbers(s, json, err)
		       : err_set(err, ERR_POISON, "--vector %s: no JSON: %s, line %d",
				 s->vector_path, where.text, where.line);
	json_decref(json);
	if (!standard)
		fclose(f);
	return ok;
}

/* --- the rows --- */

/*
 * What to do about it, where the server's words do not say so. parameter: the one that it could not
 * read, from 1 on; 0: none.
 */
static void advise(const struct search *s, size_t parameter, struct err *err)
{
	if (strcmp(err->code, "42883") == 0)
		err_wrap(err, "there is no search of table %s: run \"memingest migrate\"",
			 table_full_name(s->stream->table));
	else if (strcmp(err->code, "42501") == 0)
		err_wrap(err, "\"memingest migrate --search-grants ROLE\" prints what a role that "
			      "searches needs");
	else if (parameter >= 3 && parameter < 3 + s->nfilters)
		err_wrap(err, "--filter %s", s->filters[parameter - 3].column->name);
}

/* The column that applications search now; it is this one whatever becomes live meanwhile. */
static bool ask_live(struct search *s, struct err *err)
{
	const struct table *t = s->stream->table;
	struct asker asker;
	if (!asker_open(&asker, s->cli->config, "search", err)) {
		advise(s, 0, err);
		return false;
	}
	char *sql = xasprintf("SELECT \"column\" FROM %s()", s->stream->front->live);
	struct answer *rows = asker_query(&asker, ASKER_WORDS(sql, sql), NULL, 0, err);
	free(sql);
	asker_close(&asker);
	if (!rows) {
		advise(s, 0, err);
		return false;
	}
	for (size_t i = 0; i < t->nsearches && answer_count(rows) > 0; i++)
		if (strcmp(t->columns[t->searches[i].vector].name, answer_value(rows, 0, 0)) == 0)
			s->index = i;
	answer_free(rows);
	return true;
}

/* To the database, with all that the statement calls. */
static bool open_asker(const struct search *s, struct asker *asker, struct err *err)
{
	if (!asker_open(asker, s->cli->config, "search", err)) {
		advise(s, 0, err);
		return false;
	}
	if (!search_by_vec(s) || db_load(&asker->file, s->cli->config->sqlite_vec_extension, err))
		return true;
	err_wrap(err,
		 "sqlite.vec_extension names no extension that can be loaded here; without the "
		 "setting the same rows are found");
	asker_close(asker);
	return false;
}

static struct answer *ask(const struct search *s, bool *busy, struct err *err)
{
	const char *params[2 + SEARCH_MOST_FILTERS] = {(const char *)s->vector.data};
	struct asker asker;
	if (!open_asker(s, &asker, err))
		return NULL;
	char *sql = asker.pg ? search_sql_pg(s) : search_sql_file(s), *k = xasprintf("%ld", s->k);
	params[1] = k;
	for (size_t i = 0; i < s->nfilters; i++)
		params[2 + i] = s->filters[i].value;
	struct answer *rows =
		asker_query(&asker, ASKER_WORDS(sql, sql), params, 2 + s->nfilters, err);
	if (!rows) {
		*busy = err->class == ERR_RETRY && asker_ok(&asker);
		advise(s, asker.pg ? pg_last_place(asker.pg).parameter : 0, err);
	}
	free(k);
	free(sql);
	asker_close(&asker);
	return rows;
}

/* --- what is printed --- */

/* Of the terminal; $COLUMNS is stronger; 0: it is none, so lines stay whole. */
static size_t screen_width(const struct cli *cli)
{
	struct winsize size = {0};
	const char *columns = getenv("COLUMNS");
	long n = columns ? strtol(columns, NULL, 10) : 0;
	if (n <= 0 && cli->terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		n = size.ws_col;
	return n >= 40 ? (size_t)n : 0;
}

/* Keys stand in a column of their own, up to a width. */
static size_t key_width(const struct answer *rows)
{
	size_t width = 0;
	for (size_t i = 0; i < answer_count(rows); i++)
		width = MAX(width, wrap_width(answer_value(rows, i, 1)));
	return MIN(width, (size_t)KEY_WIDTH);
}

static void put_row(struct buf *out, const struct answer *rows, size_t i, size_t keys,
		    const struct cli *cli, size_t screen)
{
	const char *key = answer_value(rows, i, 1), *text = answer_value(rows, i, 2);
	size_t width = wrap_width(key), before = out->len;
	buf_printf(out, "%3zu  %8.4f  ", i + 1, strtod(answer_value(rows, i, 0), NULL));
	size_t indent = out->len - before;
	buf_puts(out, cli->color ? "\033[1m" : "");
	while (*key)
		key += wrap_character(out, key);
	buf_puts(out, cli->color ? "\033[0m" : "");
	if (width > keys && screen > 0)
		buf_printf(out, "\n%*s", (int)(indent + keys), "");
	else
		buf_printf(out, "%*s", (int)(MAX(keys, width) - width), "");
	indent += keys + 2;
	buf_puts(out, "  ");
	wrap_text(out, text ? text : "", indent, indent, screen);
}

static void print_rows(const struct search *s, const struct answer *rows)
{
	size_t n = answer_count(rows), keys = s->cli->json ? 0 : key_width(rows),
	       screen = screen_width(s->cli);
	struct buf out = {0};
	for (size_t i = 0; i < n; i++)
		if (s->cli->json)
			buf_printf(&out, "{\"rank\": %zu, \"distance\": %s, \"row\": %s}\n", i + 1,
				   answer_value(rows, i, 0), answer_value(rows, i, 1));
		else
			put_row(&out, rows, i, keys, s->cli, screen);
	if (n == 0 && !s->cli->json)
		buf_printf(&out, "nothing: %s has no row with a vector%s\n",
			   table_full_name(s->stream->table),
			   s->nfilters ? " that fits the filters" : "");
	fwrite(out.data, 1, out.len, stdout);
	buf_free(&out);
}

/* --- the command --- */

static int search(struct search *s)
{
	struct err err = {0};
	bool busy = false;
	struct answer *rows = NULL;
	if (s->asks_live && !ask_live(s, &err))
		return cli_fail((enum exit_code)report_err_exit_code(&err), "search: %s", err.text);
	int code = s->text && s->asks_live ? check_model(s) : EXIT_OK;
	if (code != EXIT_OK)
		return code;
	if (s->text ? embed_text(s, &err) : read_vector(s, &err)) {
		(void)buf_cstr(&s->vector);
		rows = ask(s, &busy, &err);
	}
	if (!rows)
		return cli_fail(busy ? EXIT_AGAIN : (enum exit_code)report_err_exit_code(&err),
				"search: %s", err.text);
	print_rows(s, rows);
	answer_free(rows);
	return EXIT_OK;
}

static int run(struct cli *cli)
{
	struct search s = {.cli = cli};
	struct err err = {0};
	size_t index = 0;
	if (cli->argc == 0)
		return cli_fail(EXIT_USAGE, "search: which stream's? write STREAM \"TEXT\"");
	if (!cli_find_stream(cli, cli->argv[0], &index))
		return EXIT_USAGE;
	int code = read_question(&s);
	if (code != EXIT_OK)
		return code;
	s.stream = stream_new(cli->config, index, &err);
	if (!s.stream)
		return cli_fail((enum exit_code)report_err_exit_code(&err), "%s", err.text);
	code = check_stream(&s);
	if (code == EXIT_OK)
		code = search(&s);
	buf_free(&s.vector);
	stream_free(s.stream);
	return code;
}

const struct command command_search = {
	.name = "search",
	.usage = "STREAM \"TEXT\" [--k N] [--filter COLUMN=VALUE]... [--column COLUMN] [--json] | "
		 "STREAM --vector FILE ...",
	.summary = "the rows that are nearest to a question",
	.help = "The question becomes a vector by the model that makes those of the rows "
		"(\"embed\" "
		"in the\n"
		"stream's schema), and the function that applications call finds the nearest rows "
		"(\"search\"\n"
		"in the schema); in a SQLite file each row's vector is compared. Prints rank, "
		"distance (0 is the nearest under cosine), key and "
		"text.\n"
		"\n"
		"With --json one object a row: {\"rank\": 1, \"distance\": 0.31, \"row\": {...}}, "
		"all columns but\n"
		"vectors.",
	.wants_config = true,
	.options =
		(const struct cli_option[]){{"k", "N", "how many rows at most (10)"},
					    {"filter", "COLUMN=VALUE",
					     "only rows with that value; may be repeated; "
					     "COLUMN is one of the search's "
					     "filters"},
					    {"column", "COLUMN",
					     "of a table with several searched columns this one, "
					     "instead of the live one"},
					    {"vector", "FILE",
					     "the vector itself instead of a text, a JSON array "
					     "of numbers; -: standard "
					     "input"},
					    {NULL, NULL, NULL}},
	.run = run,
};
