/*
 * fuzz_gate.c - any bytes as what a producer sends to the gateway: the body of a request as JSON,
 * lines or a container, or its path and query.
 *
 *   input: one byte picks format and stream, the rest is the body, or PATH?QUERY
 *
 * Each event of a body is either in the parcel or an error of its own, in the order of the request,
 * and within the limits; the parcel's messages are whole datums, which the table takes, since that
 * is what an answer of 202 says; and the errors are JSON, as an answer quotes them.
 *
 * The HTTP parser is libmicrohttpd's (fuzz_http.c has one of our servers behind it).
 */
#include <jansson.h>

#include "codec/measure.h"
#include "codec/plan.h"
#include "fuzz.h"
#include "gate/desk.h"
#include "gate/url.h"

enum { EVENTS = 20, BYTES = 8000, MESSAGE = 1000 };

static struct stream_config configs[] = {
	{.name = "memory", .schema = "schemas/memory_event.avsc", .format = FRAME_RAW},
	{.name = "ledger",
	 .schema = "tests/schemas/ledger_event.avsc",
	 .key_schema = "tests/schemas/ledger_key.avsc",
	 .format = FRAME_RAW},
	{.name = "everything", .schema = "tests/schemas/everything.avsc", .format = FRAME_RAW},
};
static struct config config = {.streams = configs,
			       .nstreams = ARRAY_LEN(configs),
			       .limits = {.max_depth = 64,
					  .max_items = 1000,
					  .max_string_bytes = 1 << 16,
					  .max_row_bytes = 1 << 16,
					  .max_key_bytes = 2600}};
static struct door {
	struct stream *stream;
	struct desk *desk;
	struct plan *plan;
	struct measure *measure, *key;
} doors[ARRAY_LEN(configs)];
static struct decoder *decoder;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct err err = {0};
	(void)argc;
	(void)argv;
	for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
		struct door *d = &doors[i];
		d->stream = stream_new(&config, i, &err);
		d->desk = d->stream ? desk_new(d->stream, &config.limits, &err) : NULL;
		d->plan = d->desk ? plan_new(d->stream->reader, d->stream->table, &err) : NULL;
		if (!d->plan)
			give_up(configs[i].name, err.text);
		d->measure = measure_new(d->stream->reader);
		d->key = d->stream->key_reader ? measure_new(d->stream->key_reader) : NULL;
	}
	decoder = decoder_new(&config.limits);
	return 0;
}

static void check_whole(const struct measure *m, struct slice datum)
{
	struct err err = {0};
	size_t len = 0;
	if (!measure_datum(m, datum, &len, &err) || len != datum.len)
		give_up("no whole datum", err.text);
}

static void check_event(const struct door *d, const struct parcel_event *e)
{
	struct buf row = {0};
	struct record record = {0};
	struct err err = {0};
	struct slice value = parcel_value(e), key = parcel_key(e);
	check_whole(d->measure, value);
	if (d->key)
		check_whole(d->key, key);
	if (!decode_record(decoder, d->plan, value, &row, &record, &err))
		give_up("taken, and the table does not take it", err.text);
	if (key.len + value.len > MESSAGE)
		give_up("over the limit of a message", "");
	buf_free(&row);
}

/* The errors as an answer has them; the places of events and errors together rise to the total. */
static void check_parcel(const struct door *d, const struct parcel *p)
{
	struct buf text = {0};
	json_error_t why;
	bool seen[EVENTS] = {0};
	buf_puts(&text, "[");
	buf_put(&text, p->errors.data, p->errors.len);
	buf_puts(&text, "]");
	json_t *errors = json_loadb((const char *)text.data, text.len, JSON_ALLOW_NUL, &why);
	if (!errors || json_array_size(errors) != p->nerrors)
		give_up("errors that are no JSON", why.text);
	if (p->total > EVENTS || p->n + p->nerrors != p->total)
		give_up("an event is neither taken nor refused", "");
	for (size_t i = 0; i < p->n; i++) {
		check_event(d, &p->events[i]);
		seen[p->events[i].index] = true;
	}
	for (size_t i = 0; i < p->nerrors; i++)
		seen[json_integer_value(json_object_get(json_array_get(errors, i), "index"))] =
			true;
	for (size_t i = 0; i < p->total; i++)
		if (!seen[i])
			give_up("nothing is said of an event", "");
	json_decref(errors);
	buf_free(&text);
}

static void read_body(const struct door *d, enum desk_format format, const uint8_t *data,
		      size_t size)
{
	static const struct desk_limits limits = {
		.events = EVENTS, .bytes = BYTES, .message = MESSAGE};
	static const struct envelope raw = {.format = FRAME_RAW};
	struct buf body = {0};
	struct parcel p = {0};
	struct err err = {0};
	buf_put(&body, data, size);
	memset(buf_take(&body, 8), 0, 8);
	body.len -= 8;
	if (desk_read(d->desk, format, &body, &limits, &raw, &p, &err) != DESK_READ)
		check_words(&err);
	check_parcel(d, &p);
	parcel_free(&p);
	buf_free(&body);
}

/* Without their escapes they are no longer, and end with a NUL. */
static void read_target(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"wait", "partial", "timeout"};
	struct buf text = {0};
	buf_put(&text, data, size);
	buf_u8(&text, 0);
	char *path = (char *)text.data, *mark = strchr(path, '?');
	for (size_t i = 0; mark && i < ARRAY_LEN(names); i++) {
		bool bad = false;
		char *value = url_parameter(mark + 1, names[i], &bad);
		if (value && (bad || strlen(value) > strlen(mark + 1)))
			give_up("a parameter", value);
		free(value);
	}
	size_t len = mark ? (size_t)(mark - path) : strlen(path);
	long n = url_decode(path, len, false);
	if (n > (long)len || (n >= 0 && path[n] != '\0'))
		give_up("a path became longer", path);
	buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	const struct door *d = &doors[data[0] / 4 % ARRAY_LEN(doors)];
	switch (data[0] % 4) {
	case 0:
		read_body(d, DESK_JSON, data + 1, size - 1);
		break;
	case 1:
		read_body(d, DESK_LINES, data + 1, size - 1);
		break;
	case 2:
		read_body(d, DESK_AVRO, data + 1, size - 1);
		break;
	default:
		read_target(data + 1, size - 1);
		break;
	}
	return 0;
}
