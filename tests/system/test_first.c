/*
 * test_first.c - the first hour: what a new user finds without having written anything. The printed
 * example of a config, the README's config after "make install", the SQL on paper, the completion
 * of a shell, the lines that "make up" prints.
 *
 * What they do is done by a shell, as it would be by hand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bed.h"
#include "broker.h"
#include "event.h"
#include "schema/encode.h"
#include "system.h"

/* Runs a line of shell in a folder; its exit status is compared, what it printed returned. */
static char *shell(const char *folder, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);

static char *shell(const char *folder, int status, const char *fmt, ...)
{
	struct buf out = {0};
	char chunk[4096];
	size_t n;
	va_list args;
	va_start(args, fmt);
	char *text = NULL;
	ck_assert_int_gt(vasprintf(&text, fmt, args), 0);
	va_end(args);
	char *line = xasprintf("cd %s && { %s\n} 2>&1", folder, text);
	FILE *pipe = popen(line, "r");
	ck_assert_ptr_nonnull(pipe);
	while ((n = fread(chunk, 1, sizeof(chunk), pipe)) > 0)
		buf_put(&out, chunk, n);
	int rc = pclose(pipe);
	ck_assert_msg(WIFEXITED(rc) && WEXITSTATUS(rc) == status, "%s\nexit %d, expected %d: %s",
		      text, WEXITSTATUS(rc), status, buf_cstr(&out));
	free(line);
	free(text);
	return buf_take_text(&out);
}

static void assert_has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "expected \"%s\" in: %s", part, text);
}

/*
 * The settings that lead a config of somebody else's to this stack, this database and a topic of
 * the test's own.
 */
static char *here(const struct bed *bed, const char *role, const char *stream, const char *topic)
{
	return xasprintf(
		"--set stream.%s.topic=%s --set kafka.bootstrap.servers=%s --set kafka.group.id=%s"
		" --set postgres.dsn=postgresql://%s@127.0.0.1:%u/%s"
		" --set postgres.password_file= --set registry.url=http://127.0.0.1:%u"
		" --set http.listen=off",
		stream, topic, stack.bootstrap, bed->name, role, stack.pg_port, bed->name,
		stack.registry_port);
}

/* Migrates, checks, produces 50 events of a stream and runs a worker until their rows are there. */
static void use(struct bed *bed, const char *folder, const char *program, const char *config,
		const char *stream, const char *table)
{
	char topic[96];
	snprintf(topic, sizeof(topic), "%s.events", bed->name);
	broker_create_topic(topic, 2, NULL, 0);
	char *set = here(bed, "memingest_owner", stream, topic);
	free(shell(folder, 0, "%s migrate --grant-to %s -c %s %s", program, bed->role, config,
		   set));
	free(set);
	set = here(bed, bed->role, stream, topic);
	free(shell(folder, 0, "%s check --online -c %s %s", program, config, set));
	free(shell(folder, 0, "%s produce %s --count 50 --update-share 0 -c %s %s", program, stream,
		   config, set));
	free(shell(folder, 0, "timeout 80 %s run -c %s %s >%s/worker.log 2>&1 & echo $! >%s/pid",
		   program, config, set, bed->dir, bed->dir));
	BED_WAIT(bed, 30, bed_int(bed, "SELECT count(*) FROM %s", table) == 50);
	free(shell(bed->dir, 0,
		   "kill $(cat pid); while kill -0 $(cat pid) 2>/dev/null; do sleep 0.02; done"));
	free(set);
}

/*
 * Proves: "config example" is a config that check has nothing against, also with every setting that
 * it shows taken in (that of a cluster with TLS, too), and that runs.
 */
START_TEST(example_config)
{
	struct bed *bed = bed_new("example");
	broker_create_topic("memory.events", 1, NULL, 0);
	broker_create_topic("trajectory.events", 1, NULL, 0);
	free(shell(".", 0, "%s config example >%s/example.ini", stack.program, bed->dir));
	char *said = shell(".", 0, "%s check -c %s/example.ini", stack.program, bed->dir);
	assert_has(said, "nothing to complain about");
	free(said);
	said = shell(".", 0,
		     "sed 's/^;\\([a-z_.]* = .\\)/\\1/; s/^;\\(\\[embed\\..*\\]\\)$/\\1/'"
		     " %s/example.ini >%s/all.ini;"
		     " grep -q '^sasl.username' %s/all.ini && %s check -c %s/all.ini",
		     bed->dir, bed->dir, bed->dir, stack.program, bed->dir);
	assert_has(said, "0 errors"); /* the file of the secret is not there */
	free(said);
	char *config = xasprintf("%s/example.ini", bed->dir);
	use(bed, ".", stack.program, config, "pattern", "patterns");
	free(config);
	bed_free(bed);
}
END_TEST

/*
 * Proves: what "make install" puts anywhere, also where a name has a blank, is complete: from an
 * empty folder the README's config is checked and runs, with the schemas of share; a schema beside
 * the config goes before them. One that is nowhere is said to have been looked for there.
 */
START_TEST(installed)
{
	struct bed *bed = bed_new("installed");
	char *folder = xasprintf("%s/empty", bed->dir),
	     *program = xasprintf("'%s/root/a prefix/bin/memingest'", bed->dir);
	free(shell(".", 0, "make -s install DESTDIR=%s/root PREFIX='/a prefix'", bed->dir));
	free(shell(".", 0,
		   "mkdir %s && sed -n '/^A config file:/,/^[^ A]/s/^    //p' README.md"
		   " >%s/memingest.ini && grep -q '^\\[stream.memory\\]' %s/memingest.ini",
		   folder, folder, folder));
	char *said = shell(folder, 0, "%s check", program);
	assert_has(said,
		   "root/a prefix/share/memingest/schemas/memory_event.avsc: table memory_entries");
	free(said);
	use(bed, folder, program, "memingest.ini", "memory", "memory_entries");
	said = shell(folder, 78, "%s check --set stream.memory.schema=schemas/nowhere.avsc",
		     program);
	assert_has(said, "schemas/nowhere.avsc: No such file; it was looked for beside the config");
	free(said);
	free(shell(folder, 0, "mkdir schemas && echo '{}' >schemas/memory_event.avsc"));
	said = shell(folder, 78, "%s check", program);
	assert_has(said, "schemas/memory_event.avsc: ");
	free(said);
	free(folder);
	free(program);
	bed_free(bed);
}
END_TEST

/* Each line of text that holds "about" stands in the other one, too. Returns how many. */
static size_t lines_stand_in(const char *text, const char *about, const char *other)
{
	char *copy = xstrdup(text), *rest = NULL;
	size_t n = 0;
	for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!strstr(line, about))
			continue;
		ck_assert_msg(strstr(other, line) != NULL, "only one of the two has: %s", line);
		n++;
	}
	free(copy);
	return n;
}

/* Proves: the SQL that "new-stream" prints is what "migrate" would run for it, no more, no less. */
START_TEST(sql_on_paper)
{
	struct bed *bed = bed_new("paper");
	struct buf dry = {0};
	const char *args[] = {"--dry-run", NULL}, head[] = "\n-- What \"memingest migrate\"";
	bed_stream(bed, "memory", 1);
	ck_assert_int_eq(bed_command(bed, "migrate", args, &dry), 0);
	char *said = shell(".", 0, "%s new-stream schemas/memory_event.avsc", stack.program),
	     *paper = strstr(said, head);
	ck_assert_ptr_nonnull(paper);
	paper = strchr(paper + 1, '\n');
	ck_assert_uint_gt(lines_stand_in(paper, "", buf_cstr(&dry)), 50);
	ck_assert_uint_gt(lines_stand_in(buf_cstr(&dry), "memory_entries", paper), 10);
	free(said);
	buf_free(&dry);
	bed_free(bed);
}
END_TEST

/* What bash offers for a word behind these; the caller frees it. */
static char *offered(const struct bed *bed, const char *words, const char *word)
{
	return shell(".", 0,
		     "bash -c 'source %s/completion; COMP_WORDS=(%s %s \"%s\");"
		     " COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _memingest 2>/dev/null;"
		     " echo \"${COMPREPLY[*]}\"'",
		     bed->dir, stack.program, words, word);
}

static void offers(const struct bed *bed, const char *words, const char *wanted)
{
	char *said = offered(bed, words, "");
	ck_assert_msg(strncmp(said, wanted, strlen(wanted)) == 0, "%s: \"%s\" is not \"%s\"", words,
		      said, wanted);
	free(said);
}

/*
 * Proves: the completion knows the streams of the config that the line names, the reasons of dead
 * letters, and the settings, those of the streams as well.
 */
START_TEST(completion)
{
	struct bed *bed = bed_new("completion");
	bed_stream(bed, "memory", 1);
	bed_stream(bed, "pattern", 1);
	bed_write_config(bed);
	char config[200], words[300];
	snprintf(config, sizeof(config), "-c %s", bed->config);
	free(shell(".", 0, "%s manual completion >%s/completion", stack.program, bed->dir));
	snprintf(words, sizeof(words), "%s check --stream", config);
	offers(bed, words, "memory pattern\n");
	snprintf(words, sizeof(words), "dlq list %s --stream", config);
	offers(bed, words, "memory pattern\n");
	offers(bed, "dlq list --reason", "frame schema decode missing_field invalid_embedding");
	offers(bed, "offsets skip --reason", "\n");
	offers(bed, "migrate --indexes", "none lean all\n");
	snprintf(words, sizeof(words), "dlq list %s --stream =", config); /* as bash splits it */
	offers(bed, words, "memory pattern\n");
	free(shell(bed->dir, 0, "cp %s 'a b.ini'", bed->config));
	snprintf(words, sizeof(words), "produce -c \"%s/a\\\\ b.ini\" --stream", bed->dir);
	offers(bed, words, "memory pattern\n");
	offers(bed, "run", "--config --set --help");
	offers(bed, "version", "--json --config --set --help");
	offers(bed, "run --set", "kafka.bootstrap.servers= kafka.group.id= postgres.dsn=");
	offers(bed, "config", "show keys example docs metrics ");
	snprintf(words, sizeof(words), "%s --set", config);
	char *said = offered(bed, words, "stream.m");
	assert_has(said, "stream.memory.topic= stream.memory.start=");
	ck_assert_ptr_null(strstr(said, "stream.pattern"));
	free(said);
	bed_free(bed);
}
END_TEST

/* Proves: what "make up" prints leads to this stack: the psql line works, the addresses are its
 * own. */
START_TEST(hints)
{
	char *said = shell(".", 0, "tests/stack hints %s", stack.dir),
	     *psql = strstr(said, "\npsql"), *end = psql ? strchr(psql + 1, '\n') : NULL;
	assert_has(said, stack.bootstrap);
	ck_assert_ptr_nonnull(end);
	*end = '\0';
	char *answer = shell(".", 0, "%s -Atc 'SELECT 6 * 7'", psql + strlen("\npsql"));
	ck_assert_str_eq(answer, "42\n");
	assert_has(end + 1, "kcat -b ");
	free(answer);
	free(said);
}
END_TEST

/*
 * Proves what docs/CLIENTS.md says of keys that are plain strings: events with a value land, and a
 * tombstone is a dead letter (reason frame), since nobody can say which row it means.
 */
START_TEST(string_keys)
{
	const struct slice key = {(const uint8_t *)"note-1", 6};
	struct bed *bed = bed_new("strings");
	struct bed_stream *s = bed_stream(bed, "memory", 1);
	struct buf value = {0};
	json_t *event = json_pack("{s:I, s:s, s:s}", "event_time", (json_int_t)1, "namespace", "n",
				  "key", "k");
	encode_frame(&value, FRAME_CONFLUENT, s->schema_id);
	ck_assert(event_encode(s->schema, event, &value));
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_raw(bed, "memory", 0, key, (struct slice){value.data, value.len});
	bed_raw(bed, "memory", 0, key, (struct slice){0});
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries"), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"
				      " WHERE reason = 'frame' AND \"offset\" = 1"),
			 1);
	json_decref(event);
	buf_free(&value);
	bed_free(bed);
}
END_TEST

static void first_tests(TCase *tc)
{
	tcase_add_test(tc, string_keys);
	tcase_add_test(tc, example_config);
	tcase_add_test(tc, installed);
	tcase_add_test(tc, sql_on_paper);
	tcase_add_test(tc, completion);
	tcase_add_test(tc, hints);
}
SYSTEM_SUITE("first", 90, first_tests)
