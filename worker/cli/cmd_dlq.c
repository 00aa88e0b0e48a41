/*
 * cmd_dlq.c - "memingest dlq": looks at the events that could not be stored, sends them again,
 * forgets them.
 *
 *   list     newest first, without content
 *   show     one, with its headers, key and value: dlq_show.c
 *   replay   key, value, headers and time as they were, to the topic and partition where they came
 *            from
 *   purge    deletes
 *
 * All of them see the pipeline of the config alone (its group id), and share one selection: ids,
 * --stream, --reason.
 *
 * Replay is in dlq_replay.c.
 *
 * Content is shown only when asked for by id, cut, and with nothing in it that a terminal would
 * obey.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/suggest.h"
#include "cli/dlq.h"
#include "cli/report.h"
#include "codec/reason.h"

/* "stream = " + "$2" */
static void where_add(struct dlq_where *w, const char *before, const char *param, const char *after)
{
	w->params[w->n++] = param;
	buf_printf(&w->sql, "%s%s$%zu%s", w->n > 1 ? " AND " : " WHERE ", before, w->n, after);
}

/* --- selection --- */

static bool is_number(const char *text)
{
	size_t len = strspn(text, "0123456789");
	return len > 0 && len <= 18 && text[len] == '\0';
}

/* The ids behind the action as "1,2", the caller's to free; NULL if there are none. */
static int take_ids(const struct cli *cli, char **ids)
{
	struct buf list = {0};
	*ids = NULL;
	for (int i = 1; i < cli->argc; i++) {
		if (!is_number(cli->argv[i])) {
			buf_free(&list);
			return cli_fail(EXIT_USAGE, "dlq %s: \"%s\" is not the id of a dead letter",
					cli->argv[0], cli->argv[i]);
		}
		buf_printf(&list, "%s%s", i > 1 ? "," : "", cli->argv[i]);
	}
	if (cli->argc > 1)
		*ids = xstrdup(buf_cstr(&list));
	buf_free(&list);
	return EXIT_OK;
}

/* A misspelt reason would select nothing, silently. */
static int check_reason(const char *reason)
{
	struct suggest s = suggest_for(reason != NULL ? reason : "");
	for (int i = 0; i < REASON_COUNT && reason != NULL; i++) {
		if (strcmp(reason, dead_reason_name((enum dead_reason)i)) == 0)
			return EXIT_OK;
		suggest_offer(&s, dead_reason_name((enum dead_reason)i));
	}
	if (reason == NULL)
		return EXIT_OK;
	if (s.best != NULL)
		return cli_fail(EXIT_USAGE,
				"--reason %s: there is no such reason; did you mean %s?", reason,
				s.best);
	struct buf names = {0};
	for (int i = 0; i < REASON_COUNT; i++)
		buf_printf(&names, "%s%s", i > 0 ? ", " : "",
			   dead_reason_name((enum dead_reason)i));
	cli_fail(EXIT_USAGE, "--reason %s: there is no such reason; there are: %s", reason,
		 buf_cstr(&names));
	buf_free(&names);
	return EXIT_USAGE;
}

/* Always within this pipeline. */
static void select_by_options(const struct cli *cli, const char *ids, struct dlq_where *w)
{
	const char *stream = cli_option(cli, "stream", NULL),
		   *reason = cli_option(cli, "reason", NULL);
	where_add(w, "pipeline = ", cli->config->group_id, "");
	if (stream != NULL)
		where_add(w, "stream = ", stream, "");
	if (reason != NULL)
		where_add(w, "reason = ", reason, "");
	if (ids != NULL) /* digits and commas */
		buf_printf(&w->sql, " AND id IN (%s)", ids);
}

/* --- output --- */

static size_t terminal_width(const struct cli *cli)
{
	struct winsize size;
	if (!cli->terminal || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return SIZE_MAX;
	return size.ws_col;
}

/* Rows of one column that holds a JSON object each. */
static void print_json_rows(const struct answer *rows)
{
	size_t n = answer_count(rows);
	fputs("[", stdout);
	for (size_t i = 0; i < n; i++)
		printf("%s\n%s", i > 0 ? "," : "", answer_value(rows, i, 0));
	puts(n > 0 ? "\n]" : "]");
}

/* A table of the rows' columns; the last one takes what is left of the line. */
static void print_table(const struct cli *cli, const struct answer *rows)
{
	size_t columns = answer_columns(rows), width[16] = {0}, left = terminal_width(cli);
	for (size_t c = 0; c + 1 < columns; c++) {
		width[c] = strlen(answer_name(rows, c));
		for (size_t i = 0; i < answer_count(rows); i++)
			width[c] = MAX(width[c], strlen(answer_value(rows, i, c)));
		left = left == SIZE_MAX ? left : left - MIN(left, width[c] + 2);
	}
	for (size_t c = 0; c < columns; c++)
		printf("%-*s%s", (int)width[c], answer_name(rows, c),
		       c + 1 < columns ? "  " : "\n");
	for (size_t i = 0; i < answer_count(rows); i++) {
		for (size_t c = 0; c + 1 < columns; c++) {
			dlq_print_safe(answer_value(rows, i, c), SIZE_MAX);
			printf("%*s", (int)(width[c] - strlen(answer_value(rows, i, c)) + 2), "");
		}
		dlq_print_safe(answer_value(rows, i, columns - 1), MAX(left, 20));
		putchar('\n');
	}
}

/* --- list --- */

#define LIST(books, id, time)                                                                      \
	"SELECT " id " AS \"ID\", " time " AS \"CREATED\", stream AS \"STREAM\", reason AS"        \
	" \"REASON\", topic || '/' || partition || '@' || \"offset\" AS \"POSITION\","             \
	" CASE WHEN replayed_at IS NULL THEN '' ELSE 'replayed' END AS \"STATE\","                 \
	" coalesce(detail, '') AS \"DETAIL\" FROM " books "dead_letters"

static struct answer *ask_list(struct cli *cli, struct asker *asker, struct dlq_where *w,
			       struct err *err)
{
	static const struct asker_sql text = {
		LIST("memingest.", "id::text", "to_char(created_at, 'YYYY-MM-DD HH24:MI:SS')"),
		LIST("memingest_", "id",
		     "strftime('%Y-%m-%d %H:%M:%S', created_at / 1000000, 'unixepoch')")};
	static const struct asker_sql json = {DLQ_JSON_PG("to_jsonb(t)::text", ""),
					      DLQ_JSON_SQLITE("")};
	char *tail = xasprintf(" ORDER BY id DESC LIMIT %s", cli_option(cli, "limit", "50"));
	char *json_tail = xasprintf("%s) t", tail);
	struct answer *rows = dlq_query(asker, cli->json ? json : text, w,
					ASKER_WORDS(cli->json ? json_tail : tail, tail), err);
	free(json_tail);
	free(tail);
	return rows;
}

/* Without content: a list may be shown to anybody. */
static int list_rows(struct cli *cli, struct asker *asker, struct dlq_where *w)
{
	struct err err;
	struct answer *rows = ask_list(cli, asker, w, &err);
	if (rows == NULL)
		return dlq_fail(&err);
	struct answer *total = dlq_query(asker, ASKER_SQL(DLQ_COUNT), w, DLQ_BOTH(""), &err);
	if (cli->json)
		print_json_rows(rows);
	else if (answer_count(rows) > 0)
		print_table(cli, rows);
	if (!cli->json && total != NULL)
		printf("%zu of %lld dead letters%s\n", answer_count(rows),
		       (long long)answer_int(total, 0, 0),
		       (int64_t)answer_count(rows) < answer_int(total, 0, 0)
			       ? "; --limit N shows more"
			       : "");
	answer_free(rows);
	answer_free(total);
	return total != NULL ? EXIT_OK : dlq_fail(&err);
}

static int list(struct cli *cli, struct asker *asker)
{
	struct dlq_where w = {0};
	if (cli->argc > 1)
		return cli_fail(EXIT_USAGE,
				"dlq list takes no arguments; \"dlq show ID\" shows one");
	if (!is_number(cli_option(cli, "limit", "50")))
		return cli_fail(EXIT_USAGE, "--limit %s: write a number",
				cli_option(cli, "limit", ""));
	select_by_options(cli, NULL, &w);
	int code = list_rows(cli, asker, &w);
	buf_free(&w.sql);
	return code;
}

/* --- show --- */

static int show(struct cli *cli, struct asker *asker)
{
	struct dlq_where w = {0};
	if (cli->argc != 2 || !is_number(cli->argv[1]))
		return cli_fail(EXIT_USAGE, "dlq show wants the id of one dead letter");
	where_add(&w, "pipeline = ", cli->config->group_id, "");
	where_add(&w, "id = ", cli->argv[1], "");
	int code = dlq_show(cli, asker, &w);
	buf_free(&w.sql);
	return code;
}

/* --- replay: what is selected --- */

/*
 * --dry-run, and ids that there are not. What is refused again becomes a new dead letter while we
 * still replay, so the selection ends with the newest that there is now.
 */
static int replay_count(struct cli *cli, struct asker *asker, struct dlq_where *w)
{
	struct err err;
	struct answer *rows = dlq_query(asker, ASKER_SQL(DLQ_COUNT), w, DLQ_BOTH(""), &err);
	if (rows == NULL)
		return dlq_fail(&err);
	int64_t n = answer_int(rows, 0, 0);
	buf_printf(&w->sql, " AND id <= %lld", (long long)answer_int(rows, 0, 1));
	answer_free(rows);
	if (n < cli->argc - 1)
		return cli_fail(
			EXIT_DATA,
			"of these ids, %lld can be replayed: the others do not exist in pipeline "
			"\"%s\"%s",
			(long long)n, cli->config->group_id,
			cli_flag(cli, "again")
				? ""
				: ", or were replayed before (--again sends them once more)");
	if (cli_flag(cli, "dry-run"))
		printf(cli->json ? "{\"would_replay\": %lld}\n"
				 : "would replay %lld dead letters\n",
		       (long long)n);
	return EXIT_OK;
}

/* Never all of them by accident: something has to be selected. */
static int replay(struct cli *cli, struct asker *asker)
{
	struct dlq_where w = {0};
	char *ids;
	int code = take_ids(cli, &ids);
	if (code != EXIT_OK)
		return code;
	if (ids == NULL && cli_option(cli, "stream", NULL) == NULL &&
	    cli_option(cli, "reason", NULL) == NULL)
		return cli_fail(EXIT_USAGE,
				"dlq replay: which? ids, --stream NAME or --reason REASON");
	select_by_options(cli, ids, &w);
	if (!cli_flag(cli, "again"))
		buf_puts(&w.sql, " AND replayed_at IS NULL");
	code = replay_count(cli, asker, &w);
	if (code == EXIT_OK && !cli_flag(cli, "dry-run"))
		code = dlq_replay(cli, asker, &w);
	buf_free(&w.sql);
	free(ids);
	return code;
}

/* --- purge --- */

/* "30d" as seconds: s, m, h, d, w. */
static bool age_seconds(const char *age, char *out, size_t size)
{
	static const struct {
		char unit;
		long seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7L * 86400}};
	size_t digits = strspn(age, "0123456789");
	if (digits == 0 || digits > 6 || age[digits] == '\0' || age[digits + 1] != '\0')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (units[i].unit != age[digits])
			continue;
		snprintf(out, size, "%ld", strtol(age, NULL, 10) * units[i].seconds);
		return true;
	}
	return false;
}

#define PURGE(books, past) "DELETE FROM " books "dead_letters"

/* Counted first, so that the question names a number. */
static int purge_rows(struct cli *cli, struct asker *asker, struct dlq_where *w)
{
	struct err err;
	struct answer *count = dlq_query(asker, ASKER_SQL(DLQ_COUNT), w, DLQ_BOTH(""), &err);
	if (count == NULL)
		return dlq_fail(&err);
	int64_t n = answer_int(count, 0, 0);
	answer_free(count);
	int code = n > 0 ? cli_confirm(cli, "Delete %lld dead letters", (long long)n) : EXIT_OK;
	if (code != EXIT_OK)
		return code;
	struct answer *rows = dlq_query(asker, ASKER_SQL(PURGE), w, DLQ_BOTH(""), &err);
	if (rows == NULL)
		return dlq_fail(&err);
	printf(cli->json ? "{\"purged\": %lld}\n" : "purged %lld dead letters\n",
	       (long long)answer_affected(rows));
	answer_free(rows);
	return EXIT_OK;
}

/* Never all of them by accident: an age or --replayed has to be said. */
static int purge(struct cli *cli, struct asker *asker)
{
	const char *before = cli_option(cli, "before", NULL);
	static const struct asker_sql older = {"created_at < now() - interval '1 second' * (",
					       "created_at < now() - 1000000 * ("};
	struct dlq_where w = {0};
	char seconds[32];
	if (cli->argc > 1)
		return cli_fail(EXIT_USAGE,
				"dlq purge takes no ids: say --before AGE, --replayed, or both");
	if (before == NULL && !cli_flag(cli, "replayed"))
		return cli_fail(EXIT_USAGE, "dlq purge: which? --before AGE, --replayed, or both");
	if (before != NULL && !age_seconds(before, seconds, sizeof(seconds)))
		return cli_fail(EXIT_USAGE,
				"--before %s: write a number and s, m, h, d or w, as in 30d",
				before);
	select_by_options(cli, NULL, &w);
	if (before != NULL)
		where_add(&w, asker_words(asker, older), seconds, ")");
	if (cli_flag(cli, "replayed"))
		buf_puts(&w.sql, " AND replayed_at IS NOT NULL");
	int code = purge_rows(cli, asker, &w);
	buf_free(&w.sql);
	return code;
}

/* --- the command --- */

static const struct {
	const char *name;
	int (*run)(struct cli *cli, struct asker *asker);
} actions[] = {{"list", list}, {"show", show}, {"replay", replay}, {"purge", purge}};

static int run(struct cli *cli)
{
	const char *names[ARRAY_LEN(actions) + 1] = {0},
					       *action = cli->argc > 0 ? cli->argv[0] : NULL;
	size_t i = 0, found;
	for (size_t j = 0; j < ARRAY_LEN(actions); j++)
		names[j] = actions[j].name;
	while (action != NULL && names[i] != NULL && strcmp(names[i], action) != 0)
		i++;
	if (action == NULL || names[i] == NULL)
		return cli_unknown("dlq", action, names);
	const char *stream = cli_option(cli, "stream", NULL);
	if (check_reason(cli_option(cli, "reason", NULL)) != EXIT_OK ||
	    (stream != NULL && !cli_find_stream(cli, stream, &found)))
		return EXIT_USAGE;
	struct err err;
	struct asker asker;
	if (!asker_open(&asker, cli->config, "dlq", &err))
		return dlq_fail(&err);
	int code = actions[i].run(cli, &asker);
	asker_close(&asker);
	return code;
}

const struct command command_dlq = {
	.name = "dlq",
	.usage = "list | show ID | replay [ID...] | purge",
	.summary = "dead letters: events that could not be stored",
	.help = "list     newest first, without their content\n"
		"show     one of them, with headers, key and value: as text where they are Avro of "
		"a schema that can be had, JSON or text, up to where they are not\n"
		"replay   sends them again, as they were, to where they came from: those whose ids "
		"are given, or all "
		"of\n"
		"         a stream or reason. Those replayed before are left out, unless --again "
		"is given\n"
		"purge    deletes those older than --before, those that were --replayed, or what "
		"is both\n"
		"\n"
		"All within the pipeline of the config. --stream and --reason narrow list, replay "
		"and purge.",
	.wants_config = true,
	.options =
		(const struct cli_option[]){
			{"stream", "NAME", "only of this stream"},
			{"reason", "REASON", "only with this reason, as invalid_embedding"},
			{"limit", "N", "list: at most so many (50)"},
			{"hex", NULL, "show: key and value as bytes"},
			{"dry-run", NULL, "replay: only say how many"},
			{"again", NULL, "replay: also what was replayed before"},
			{"before", "AGE", "purge: older than that, as 30d or 12h"},
			{"replayed", NULL, "purge: replayed ones"},
			CLI_YES,
			{NULL},
		},
	.run = run,
};
