/*
 * cmd_offsets.c - "memingest offsets": where each partition stands, and an operator's words about
 * it.
 *
 *   show         reads; Kafka may be away
 *   rewind, accept-gap, adopt-topic
 *                read both, print the plan, ask, apply in one transaction: see
 *                offsets_change.c
 *   skip         the same, for one message: see offsets_skip.c
 *
 * These are the verbs that a halted partition names in its message.
 */
#include <inttypes.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/offsets_change.h"
#include "cli/offsets_skip.h"
#include "cli/positions.h"
#include "cli/report.h"
#include "core/config_key.h"

/* --- show --- */

/* What a worker would halt for, in a word; or "". */
static const char *trouble(const struct position *p)
{
	if (!p->known)
		return "not consumed yet";
	if (p->topic_id[0] && p->kafka_topic_id[0] && strcmp(p->topic_id, p->kafka_topic_id) != 0)
		return "topic created anew: adopt-topic";
	if (p->answered && p->next_offset < p->low)
		return "retention passed it: accept-gap";
	if (p->answered && p->next_offset > p->high)
		return "beyond the log's end: rewind or adopt-topic";
	if (p->halted_at == p->next_offset)
		return "halted by the next message: mend the cause, or skip";
	if (!p->answered)
		return "Kafka tells nothing of it: is the topic gone?";
	return "";
}

static json_t *number_or_null(bool there, int64_t n)
{
	return there ? json_integer(n) : json_null();
}

static int64_t lag(const struct position *p)
{
	return p->high - (p->known ? MAX(p->next_offset, p->low) : p->low);
}

static json_t *position_json(const struct position *p)
{
	const char *halted = p->halted_at == p->next_offset ? p->halted : "";
	return json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:s, s:o, s:s, s:s, s:s, s:s, s:s}",
			 "topic", p->topic, "partition", (int)p->partition, "next_offset",
			 number_or_null(p->known, p->next_offset), "low",
			 number_or_null(p->answered, p->low), "high",
			 number_or_null(p->answered, p->high), "lag",
			 number_or_null(p->answered, MAX(lag(p), 0)), "owner", p->owner,
			 "owner_epoch", number_or_null(p->known, p->owner_epoch), "updated_at",
			 p->updated_at, "topic_id", p->topic_id, "kafka_topic_id",
			 p->kafka_topic_id, "trouble", trouble(p), "halted", halted);
}

static void show_json(const struct config *config, const struct positions *p,
		      const struct err *kafka)
{
	json_t *list = json_array();
	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(list, position_json(&p->all[i]));
	json_t *all = json_pack("{s:s, s:s*, s:o}", "pipeline", config->group_id, "kafka_error",
				kafka->class == ERR_NONE ? NULL : kafka->text, "partitions", list);
	json_dumpf(all, stdout, JSON_INDENT(2));
	puts("");
	json_decref(all);
}

static void put_number(bool there, int64_t n)
{
	if (there)
		printf("  %12" PRId64, n);
	else
		printf("  %12s", "-");
}

static void show_lines(const struct positions *p)
{
	int width = 5;
	for (size_t i = 0; i < p->n; i++)
		width = MAX(width, (int)strlen(p->all[i].topic));
	printf("%-*s  %9s  %12s  %12s  %12s  %12s  %6s  %-20s  %s\n", width, "TOPIC", "PARTITION",
	       "NEXT", "LOW", "HIGH", "LAG", "EPOCH", "UPDATED", "OWNER");
	for (size_t i = 0; i < p->n; i++) {
		const struct position *pos = &p->all[i];
		printf("%-*s  %9d", width, pos->topic, pos->partition);
		put_number(pos->known, pos->next_offset);
		put_number(pos->answered, pos->low);
		put_number(pos->answered, pos->high);
		put_number(pos->answered, MAX(lag(pos), 0));
		printf("  %6" PRId64 "  %-20s  %s%s%s\n", pos->owner_epoch, pos->updated_at,
		       pos->owner, trouble(pos)[0] ? "  ! " : "", trouble(pos));
	}
}

/* Topics of the config of which there is nothing at all. */
static void note_missing(const struct config *config, const struct positions *p)
{
	for (size_t s = 0; s < config->nstreams; s++) {
		for (size_t t = 0; t < config->streams[s].ntopics; t++) {
			const char *name = config->streams[s].topics[t];
			bool there = name[0] == '^';
			for (size_t i = 0; !there && i < p->n; i++)
				there = strcmp(p->all[i].topic, name) == 0;
			if (!there)
				cli_fail(EXIT_CONFIG, "stream %s: topic %s does not exist",
					 config->streams[s].name, name);
		}
	}
}

static int show(struct cli *cli, struct asker *asker, struct err *err)
{
	struct positions p = {0};
	struct err kafka = {0};
	if (!positions_read(asker, cli->config, NULL, &p, err))
		return report_err_exit_code(err);
	if (!positions_ask(cli->config, NULL, -1, &p, &kafka) && !cli->json)
		cli_fail(EXIT_UNAVAILABLE, "not everything is known: %s", kafka.text);
	if (kafka.class == ERR_NONE)
		note_missing(cli->config, &p);
	if (cli->json)
		show_json(cli->config, &p, &kafka);
	else
		show_lines(&p);
	positions_free(&p);
	return EXIT_OK;
}

/* --- the verbs --- */

static bool parse_digits(const char *text, int64_t max, int64_t *n)
{
	int64_t value = 0;
	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > (max - (*text - '0')) / 10)
			return false;
		value = value * 10 + (*text - '0');
	}
	*n = value;
	return true;
}

static bool parse_to(const char *text, struct offsets_request *r)
{
	struct buf ignored = {0};
	int kind;
	if (!text)
		return r->verb != OFFSETS_REWIND;
	r->to = TO_OFFSET;
	if (parse_digits(text, INT64_MAX, &r->to_value))
		return true;
	bool ok = r->verb == OFFSETS_REWIND &&
		  config_start_parse(text, &kind, &r->to_value, &ignored);
	buf_free(&ignored);
	if (!ok)
		return false;
	r->to = kind == START_EARLIEST ? TO_EARLIEST : TO_TIME;
	return kind == START_EARLIEST || kind == START_TIMESTAMP;
}

/* EXIT_OK, or EXIT_USAGE after a complaint. */
static int parse_request(struct cli *cli, const char *action, struct offsets_request *r)
{
	bool adopt = r->verb == OFFSETS_ADOPT;
	int64_t partition = -1;
	if (cli->argc != (adopt ? 2 : 3))
		return cli_fail(EXIT_USAGE, "offsets %s: wants TOPIC%s", action,
				adopt ? "" : " and PARTITION or \"all\"");
	r->topic = cli->argv[1];
	r->reason = cli_option(cli, "reason", NULL);
	if (!adopt && strcmp(cli->argv[2], "all") != 0 &&
	    !parse_digits(cli->argv[2], INT32_MAX, &partition))
		return cli_fail(EXIT_USAGE, "offsets %s: \"%s\" is no partition", action,
				cli->argv[2]);
	r->partition = (int32_t)partition;
	if (!parse_to(cli_option(cli, "to", NULL), r))
		return cli_fail(
			EXIT_USAGE, "offsets %s: --to wants %s", action,
			r->verb == OFFSETS_REWIND
				? "an offset, \"earliest\" or a time as 2026-01-31T12:00:00Z"
				: "an offset");
	return EXIT_OK;
}

static void declarer(char *who, size_t size)
{
	char host[64] = "";
	const struct passwd *user = getpwuid(geteuid());
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(who, size, "%s@%s", user ? user->pw_name : "unknown", host);
}

static int retry_code(bool session, const struct err *err)
{
	return err->class == ERR_RETRY && session ? EXIT_AGAIN : report_err_exit_code(err);
}

static void print_plan(const struct cli *cli, const struct offsets_plan *plan, bool done)
{
	if (cli->json)
		offsets_plan_print_json(plan, done);
	else
		offsets_plan_print(plan, done);
}

static int carry_out(struct cli *cli, struct asker *asker, struct offsets_plan *plan,
		     struct err *err)
{
	char who[128];
	bool dry = cli_flag(cli, "dry-run") || plan->n == 0;
	if (plan->n == 0 && !cli->json)
		puts("nothing to do");
	else if (dry || (!cli->json && !cli_flag(cli, "yes")))
		print_plan(cli, plan, false);
	if (dry)
		return EXIT_OK;
	int code = cli_confirm(cli, "Change %zu partition%s", plan->n, plan->n == 1 ? "" : "s");
	if (code != EXIT_OK)
		return code;
	declarer(who, sizeof(who));
	if (!offsets_apply(asker, cli->config, plan, who, err)) {
		err_wrap(err, "nothing was changed");
		return retry_code(asker_ok(asker), err);
	}
	print_plan(cli, plan, true);
	return EXIT_OK;
}

static int change(struct cli *cli, struct asker *asker, const struct offsets_request *r,
		  struct err *err)
{
	struct positions p = {0};
	struct offsets_plan plan = {0};
	int code;
	if (!positions_read(asker, cli->config, r->topic, &p, err) ||
	    !positions_ask(cli->config, r->topic, r->to == TO_TIME ? r->to_value : -1, &p, err) ||
	    !offsets_plan(r, &p, &plan, err))
		code = report_err_exit_code(err);
	else
		code = carry_out(cli, asker, &plan, err);
	offsets_plan_free(&plan);
	positions_free(&p);
	return code;
}

/* --- skip --- */

static void print_skip(const struct cli *cli, const struct offsets_skip *s, bool done)
{
	if (!cli->json) {
		offsets_skip_print(s, done);
		return;
	}
	json_t *all = json_pack("{s:b, s:s, s:i, s:I, s:I}", "applied", done, "topic",
				s->position->topic, "partition", (int)s->position->partition,
				"offset", (json_int_t)s->message.offset, "next_offset",
				(json_int_t)s->message.offset + 1);
	json_dumpf(all, stdout, JSON_COMPACT);
	puts("");
	json_decref(all);
}

static int skip_planned(struct cli *cli, struct offsets_skip *s, struct err *err)
{
	char who[128];
	bool dry = cli_flag(cli, "dry-run");
	if (dry || (!cli->json && !cli_flag(cli, "yes")))
		print_skip(cli, s, false);
	int code = dry ? EXIT_OK : cli_confirm(cli, "Skip this message");
	if (dry || code != EXIT_OK)
		return code;
	declarer(who, sizeof(who));
	if (!offsets_skip_apply(s, who, err)) {
		err_wrap(err, "nothing was skipped");
		return retry_code(!s->lost, err);
	}
	print_skip(cli, s, true);
	return EXIT_OK;
}

static int skip(struct cli *cli, struct asker *asker, const struct offsets_request *r,
		struct err *err)
{
	struct positions p = {0};
	struct offsets_skip s = {0};
	int code;
	if (!positions_read(asker, cli->config, r->topic, &p, err) ||
	    !positions_ask(cli->config, r->topic, -1, &p, err))
		code = report_err_exit_code(err);
	else if (!offsets_skip_plan(&s, cli->config, &p, r->partition, r->reason, err))
		code = retry_code(asker_ok(asker), err);
	else
		code = skip_planned(cli, &s, err);
	offsets_skip_free(&s);
	positions_free(&p);
	return code;
}

/* EXIT_OK, or EXIT_USAGE after a complaint. */
static int parse_skip(struct cli *cli, struct offsets_request *r)
{
	int64_t partition;
	if (cli->argc != 3)
		return cli_fail(EXIT_USAGE, "offsets skip: wants TOPIC and PARTITION");
	if (!parse_digits(cli->argv[2], INT32_MAX, &partition))
		return cli_fail(EXIT_USAGE, "offsets skip: \"%s\" is no partition", cli->argv[2]);
	if (cli_option(cli, "to", NULL))
		return cli_fail(EXIT_USAGE, "offsets skip: skips one message, there is no --to");
	r->topic = cli->argv[1];
	r->partition = (int32_t)partition;
	r->reason = cli_option(cli, "reason", NULL);
	return EXIT_OK;
}

/* --- the command --- */

enum action { REWIND, ACCEPT_GAP, ADOPT_TOPIC, SKIP, SHOW };

static int parse(struct cli *cli, enum action action, struct offsets_request *r)
{
	if (cli_flag(cli, "to-dead-letters") && action != SKIP)
		return cli_fail(EXIT_USAGE, "offsets %s: --to-dead-letters belongs to skip",
				cli->argv[0]);
	switch (action) {
	case SHOW:
		return cli->argc > 1
			       ? cli_fail(EXIT_USAGE, "offsets show: what is \"%s\"?", cli->argv[1])
			       : EXIT_OK;
	case SKIP:
		return parse_skip(cli, r);
	case REWIND:
	case ACCEPT_GAP:
	case ADOPT_TOPIC:
		r->verb = (enum offsets_verb)action;
		return parse_request(cli, cli->argv[0], r);
	}
	return EXIT_USAGE;
}

static int act(struct cli *cli, enum action action, const struct offsets_request *r,
	       struct err *err)
{
	struct asker asker;
	int code = !asker_open(&asker, cli->config, "offsets", err) ? report_err_exit_code(err)
		   : action == SHOW                                 ? show(cli, &asker, err)
		   : action == SKIP                                 ? skip(cli, &asker, r, err)
								    : change(cli, &asker, r, err);
	if (err->class != ERR_NONE)
		cli_fail((enum exit_code)code, "%s", err->text);
	asker_close(&asker);
	return code;
}

static int run(struct cli *cli)
{
	static const char *const actions[] = {"rewind", "accept-gap", "adopt-topic",
					      "skip",   "show",       NULL};
	const char *action = cli->argc > 0 ? cli->argv[0] : NULL;
	struct offsets_request request = {.partition = -1};
	struct err err = {0};
	int i = 0;
	while (actions[i] && !(action && strcmp(action, actions[i]) == 0))
		i++;
	if (!actions[i])
		return cli_unknown("offsets", action, actions);
	if (parse(cli, (enum action)i, &request) != EXIT_OK)
		return EXIT_USAGE;
	if (!cli_need_config(cli))
		return EXIT_CONFIG;
	return act(cli, (enum action)i, &request, &err);
}

static const struct cli_option options[] = {
	{"to", "WHERE",
	 "rewind: an offset, \"earliest\" or a time; accept-gap: the offset to go on at (default: "
	 "where the log begins)"},
	{"reason", "TEXT",
	 "goes into memingest.gaps, or into the dead letter; adopt-topic, skip: also where nothing "
	 "else says that it is meant"},
	{"to-dead-letters", NULL, "skip: where the message goes, as it does without this word"},
	CLI_YES,
	{"dry-run", NULL, "print what would be done, and change nothing"},
	{NULL, NULL, NULL},
};

const struct command command_offsets = {
	.name = "offsets",
	.usage = "show | rewind TOPIC PARTITION|all --to WHERE | accept-gap TOPIC PARTITION|all "
		 "[--to OFFSET] | "
		 "adopt-topic "
		 "TOPIC | skip TOPIC PARTITION [--to-dead-letters]",
	.summary = "show where each partition stands, and move it",
	.help = "show         next offset, Kafka's log, lag and owner of each partition\n"
		"rewind       consume again from WHERE on; the offset at which it stands: go on "
		"there. Columns with the merge rule add will "
		"count those events "
		"twice\n"
		"accept-gap   declare the offsets from the next one up to OFFSET, and without it, "
		"as lost, and go "
		"on at OFFSET; to give up offset N alone, where it is the next one: --to N+1\n"
		"adopt-topic  the topic was deleted and created anew: start at its beginning; "
		"refused if it is, or "
		"without a topic id seems to be, the topic that was consumed\n"
		"skip         the one message that halts the partition becomes a dead letter, "
		"with key, value and headers, "
		"and the partition goes on behind it; where no worker has written down that it "
		"halts there, --reason is "
		"wanted\n"
		"\n"
		"All but show change memingest.offsets in one transaction, print before and "
		"after, and ask first.\n"
		"A running worker drops its batch in flight and claims the partition anew.",
	.options = options,
	.run = run,
};
