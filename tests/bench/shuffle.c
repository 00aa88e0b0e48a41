/*
 * shuffle.c - the ceiling's events in random order, as an Avro container file for "memingest
 * produce --file".
 *
 *   shuffle -c CONFIG COUNT FILE [--in-order]
 *
 * For the row on table sizes: keys of a real stream do not come in the order of the index. The
 * order is that of "ceiling --shuffled"; in order, that of "ceiling".
 */
#include <avro.h>
#include <stdio.h>
#include <stdlib.h>

#include "events.h"

static void die(const char *what)
{
	fprintf(stderr, "shuffle: %s: %s\n", what, avro_strerror());
	exit(70);
}

int main(int argc, char **argv)
{
	bool in_order = argc == 6 && strcmp(argv[5], "--in-order") == 0;
	if ((argc != 5 && !in_order) || strcmp(argv[1], "-c") != 0) {
		fprintf(stderr, "usage: shuffle -c CONFIG COUNT FILE [--in-order]\n");
		return 64;
	}
	struct events_request request = {
		.count = strtoul(argv[3], NULL, 10), .seed = 1, .shuffled = !in_order};
	struct stream *stream = events_open(argv[2], "memory");
	struct events *e = events_make(stream, &request);
	const char *json = schema_canonical(stream->reader);
	avro_schema_t schema;
	avro_file_writer_t writer;
	if (avro_schema_from_json_length(json, strlen(json), &schema) != 0)
		die("schema");
	(void)remove(argv[4]);
	if (avro_file_writer_create(argv[4], schema, &writer) != 0)
		die(argv[4]);
	for (size_t i = 0; i < e->n; i++) {
		struct slice datum = events_datum(e, i);
		if (avro_file_writer_append_encoded(writer, datum.data, (int64_t)datum.len) != 0)
			die(argv[4]);
	}
	if (avro_file_writer_close(writer) != 0)
		die(argv[4]);
	avro_schema_decref(schema);
	events_free(e);
	events_close();
	return 0;
}
