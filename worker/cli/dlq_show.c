/*
 * dlq_show.c - "memingest dlq show": one dead letter, and what its key and value mean.
 *
 *   bytes --envelope, headers--> schema's id --registry--> schema --codec/peek.c--> text
 *     |  no such envelope, no schema, not what the schema says
 *     +--> JSON, text, or only how many bytes there are and why they can not be read
 *
 * Whoever mends a producer wants to read what it sent. The stream of the config says which envelope
 * there is and, where none names a schema, by which one to read; the registry, or its folder, has
 * the rest, as for the worker. A letter is a letter because something is wrong with it, so nothing
 * here fails: what can not be read is told with the reason.
 *
 * The only place that shows content: cut, and with nothing in it that a terminal would obey.
 * Thread: the command's, which waits for the registry's.
 */
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/dlq.h"
#include "codec/peek.h"
#include "codec/text.h"
#include "core/stream.h"
#include "io/registry.h"
#include "schema/frame.h"

#define READ_SQL "1048576" /* bytes of a key or value that are fetched */
enum { SHOWN_BYTES = 256, REGISTRY_WAIT_MS = 10000 };
enum { TEXT_BYTES = 400, ODD_SHARE = 8 };

struct letter {
	const struct config *config;
	struct stream *stream; /* NULL: not in the config any more */
	struct registry *registry;
	struct producer_message m;
};

/* --- as bytes --- */

/* As hexdump -C: 16 bytes a line, then what of them is ASCII. */
static void print_hex(struct slice s)
{
	for (size_t at = 0; at < s.len; at += 16) {
		size_t have = MIN(s.len - at, (size_t)16);
		printf("  %06zx ", at);
		for (size_t i = 0; i < 16; i++)
			if (i < have)
				printf(" %02x", s.data[at + i]);
			else
				fputs("   ", stdout);
		fputs("  |", stdout);
		for (size_t i = 0; i < have; i++) {
			uint8_t c = s.data[at + i];
			putchar(c >= 0x20 && c < 0x7F ? c : '.');
		}
		puts("|");
	}
}

/* --- as Avro --- */

/* What the headers say of its schema goes before an envelope, as for the worker. */
static bool find_frame(const struct letter *l, struct slice bytes, bool key, struct frame *frame,
		       struct err *err)
{
	enum frame_format format = l->stream ? l->stream->config->format : FRAME_CONFLUENT;
	*frame = (struct frame){.body = bytes};
	for (size_t i = 0; format == FRAME_CONFLUENT && i < l->m.nheaders; i++)
		if (!frame_header(l->m.headers[i].name, l->m.headers[i].value, key, &frame->id,
				  err))
			return false;
	return frame->id.kind != SCHEMA_ID_NONE || frame_split(format, bytes, frame, err);
}

/* Waits; but a registry that has nothing good to say is not asked for a minute. */
static bool ask_registry(struct letter *l, const struct schema_id *id, const struct schema **schema,
			 struct err *err)
{
	char name[SCHEMA_ID_TEXT];
	struct pollfd fd = {.fd = registry_fd(l->registry), .events = POLLIN};
	enum registry_answer answer;
	while ((answer = registry_get(l->registry, id, schema, err)) == REGISTRY_PENDING &&
	       err->class == ERR_NONE && poll(&fd, 1, REGISTRY_WAIT_MS) > 0)
		registry_ack(l->registry);
	if (answer == REGISTRY_FOUND)
		return true;
	if (err->class == ERR_NONE)
		err_set(err, ERR_RETRY, "the schema registry does not answer");
	return err_wrap(err, "schema %s", schema_id_text(id, name));
}

static bool find_schema(struct letter *l, const struct schema_id *id, bool key,
			const struct schema **schema, struct err *err)
{
	if (id->kind != SCHEMA_ID_NONE)
		return ask_registry(l, id, schema, err);
	*schema = !l->stream ? NULL : key ? l->stream->key_reader : l->stream->reader;
	return *schema || err_set(err, ERR_CONFIG, "no schema is known for it");
}

/* As far as it is what its schema says. */
static bool read_avro(struct letter *l, struct slice bytes, bool key, struct buf *out,
		      struct err *err)
{
	char id[SCHEMA_ID_TEXT];
	struct frame frame;
	const struct schema *schema = NULL;
	if (!find_frame(l, bytes, key, &frame, err) ||
	    !find_schema(l, &frame.id, key, &schema, err))
		return false;
	buf_puts(out, "Avro");
	if (frame.id.kind != SCHEMA_ID_NONE)
		buf_printf(out, ", schema %s", schema_id_text(&frame.id, id));
	if (schema->root->full_name)
		buf_printf(out, ", %s", schema->root->full_name);
	buf_u8(out, '\n');
	peek_datum(schema, frame.body, out);
	return true;
}

/* --- as JSON, as text --- */

static bool read_json(struct slice bytes, struct buf *out)
{
	json_t *json = json_loadb((const char *)bytes.data, bytes.len, JSON_ALLOW_NUL, NULL);
	char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	if (text)
		buf_printf(out, "JSON\n%s", text);
	free(text);
	json_decref(json);
	return text != NULL;
}

/* What is mostly control characters is something else. */
static bool read_text(struct slice bytes, struct buf *out)
{
	struct refusal ignored;
	size_t odd = 0;
	for (size_t i = 0; i < bytes.len; i++)
		odd += bytes.data[i] < 0x20 && bytes.data[i] != '\n' && bytes.data[i] != '\t';
	if (bytes.len == 0 || odd * ODD_SHARE > bytes.len || !text_check_utf8(bytes, &ignored))
		return false;
	buf_puts(out, "text\n");
	peek_text(bytes, TEXT_BYTES, out);
	return true;
}

/* --- one letter --- */

/* Line by line, each made harmless. */
static void print_lines(char *text)
{
	char *rest = NULL;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		fputs("  ", stdout);
		dlq_print_safe(line, SIZE_MAX);
		putchar('\n');
	}
}

/* The first line of what was read says what it is; then why it is not more. */
static void print_meaning(struct letter *l, struct slice bytes, bool key)
{
	struct buf out = {0};
	struct err err = {0};
	if (!read_avro(l, bytes, key, &out, &err) && !read_json(bytes, &out) &&
	    !read_text(bytes, &out)) {
		printf(", not to be read: ");
		dlq_print_safe(err.text, SIZE_MAX);
		puts("; --hex shows them");
	} else {
		char *what = xstrdup(buf_cstr(&out)), *rest = what + strcspn(what, "\n");
		printf(": %.*s\n", (int)(rest - what), what);
		print_lines(rest);
		free(what);
	}
	buf_free(&out);
}

/* length: of the whole, which may be more than was fetched. */
static void print_bytes(struct letter *l, bool key, const char *length, bool hex)
{
	struct slice s = key ? l->m.key : l->m.value;
	printf("%-11s ", key ? "key" : "value");
	if (length == NULL || strcmp(length, "0") == 0) {
		puts(length == NULL ? "null" : "0 bytes");
		return;
	}
	printf("%s byte%s", length, strcmp(length, "1") == 0 ? "" : "s");
	if (!hex) {
		print_meaning(l, s, key);
		return;
	}
	if (s.len > SHOWN_BYTES)
		printf(", of which the first %d", SHOWN_BYTES);
	putchar('\n');
	print_hex((struct slice){s.data, MIN(s.len, (size_t)SHOWN_BYTES)});
}

static struct stream *open_stream(const struct config *config, const char *name)
{
	struct err ignored;
	for (size_t i = 0; name && i < config->nstreams; i++)
		if (strcmp(config->streams[i].name, name) == 0)
			return stream_new(config, i, &ignored);
	return NULL;
}

/* Columns: texts first, headers the last of them; key length, key, value length, value. */
static int print_letter(struct cli *cli, const struct answer *rows)
{
	size_t texts = answer_columns(rows) - 4;
	const char *headers = answer_value(rows, 0, texts - 1);
	json_t *json = headers ? json_loads(headers, 0, NULL) : NULL;
	struct err err = {0};
	for (size_t c = 0; c < texts; c++) {
		const char *value = answer_value(rows, 0, c);
		printf("%-11s ", answer_name(rows, c));
		dlq_print_safe(value != NULL ? value : "-", SIZE_MAX);
		putchar('\n');
	}
	log_init(cli->config->log_format, LOG_ERROR); /* its news stand in what is printed */
	struct letter l = {.config = cli->config,
			   .stream = open_stream(cli->config, answer_value(rows, 0, 2)),
			   .registry = registry_new(cli->config, &err),
			   .m = {.key = dlq_bytes(answer_value(rows, 0, texts + 1)),
				 .value = dlq_bytes(answer_value(rows, 0, texts + 3))}};
	dlq_take_headers(&l.m, json);
	if (l.registry) {
		print_bytes(&l, true, answer_value(rows, 0, texts), cli_flag(cli, "hex"));
		print_bytes(&l, false, answer_value(rows, 0, texts + 2), cli_flag(cli, "hex"));
	}
	registry_free(l.registry);
	stream_free(l.stream);
	dlq_free_message(&l.m);
	json_decref(json);
	return err.class == ERR_NONE ? EXIT_OK : dlq_fail(&err);
}

#define SHOW(books, bytes)                                                                         \
	"SELECT id, pipeline, stream, reason, detail, topic || '/' || partition || '@' ||"         \
	" \"offset\" AS position, " bytes " FROM " books "dead_letters"

/* The first READ_BYTES of key and value, in hex. */
static struct answer *ask_text(struct asker *asker, struct dlq_where *w, struct err *err)
{
	static const struct asker_sql sql = {
		SHOW("memingest.",
		     "event_time AS \"event time\", created_at AS created, replayed_at AS"
		     " replayed, headers, octet_length(key), encode(substring(key FOR " READ_SQL
		     "), 'hex'), octet_length(value), encode(substring(value FOR " READ_SQL
		     "), 'hex')"),
		SHOW("memingest_",
		     "memingest_text(12, 1, event_time) AS \"event time\", memingest_text(12, 1,"
		     " created_at) AS created, memingest_text(12, 1, replayed_at) AS replayed,"
		     " headers, length(key), CASE WHEN key IS NOT NULL THEN hex(substr(key, 1,"
		     " " READ_SQL ")) END, length(value), CASE WHEN value IS NOT NULL THEN"
		     " hex(substr(value, 1, " READ_SQL ")) END")};
	return dlq_query(asker, sql, w, DLQ_BOTH(""), err);
}

#define BASE64_PG(column)                                                                          \
	"translate(encode(substring(" column " FOR " READ_SQL "), 'base64'), E'\\n', '') "         \
	"AS " column
#define BASE64_SQLITE(column) "'" column "', memingest_base64(substr(" column ", 1, " READ_SQL "))"

static struct answer *ask_json(struct asker *asker, struct dlq_where *w, struct err *err)
{
	static const struct asker_sql sql = {
		DLQ_JSON_PG("jsonb_pretty(to_jsonb(t))",
			    ", headers, " BASE64_PG("key") ", " BASE64_PG("value")),
		DLQ_JSON_SQLITE(", 'headers', json(headers), " BASE64_SQLITE(
			"key") ", " BASE64_SQLITE("value"))};
	return dlq_query(asker, sql, w, ASKER_WORDS(") t", ""), err);
}

int dlq_show(struct cli *cli, struct asker *asker, struct dlq_where *w)
{
	struct err err;
	struct answer *rows = cli->json ? ask_json(asker, w, &err) : ask_text(asker, w, &err);
	if (rows == NULL)
		return dlq_fail(&err);
	int code = EXIT_OK;
	if (answer_count(rows) == 0)
		code = cli_fail(EXIT_DATA, "pipeline \"%s\" has no dead letter %s",
				cli->config->group_id, cli->argv[1]);
	else if (cli->json)
		puts(answer_value(rows, 0, 0));
	else
		code = print_letter(cli, rows);
	answer_free(rows);
	return code;
}
