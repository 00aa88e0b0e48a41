/*
 * pairs.c - schemas by number, for what reads any bytes under many schemas.
 *
 * No state. Failure: the process ends, as these schemas are right.
 */
#include "pairs.h"

#include "../unit/random_avro.h"
#include "fuzz.h"

static const char *const files[] = {"schemas/memory_event.avsc", "schemas/pattern_event.avsc",
				    "schemas/trajectory_event.avsc",
				    "tests/schemas/everything.avsc"};

void pair_make(struct pair *p, size_t number, struct buf *writer_text)
{
	struct random_pair text = {0};
	struct random random = {.state = number};
	struct err err = {0};
	if (number < ARRAY_LEN(files)) {
		fuzz_read_file(files[number], &text.writer);
		fuzz_read_file(files[number], &text.reader);
	} else {
		random_pair(&random, &text);
	}
	p->writer = schema_parse((char *)text.writer.data, text.writer.len, &err);
	p->reader = schema_parse((char *)text.reader.data, text.reader.len, &err);
	p->table = p->writer && p->reader ? table_new(p->reader, &err) : NULL;
	p->plan = p->table ? plan_new(p->writer, p->table, &err) : NULL;
	if (!p->plan)
		give_up("a pair of schemas", err.text);
	if (writer_text)
		buf_put(writer_text, text.writer.data, text.writer.len);
	random_pair_free(&text);
}

void pair_free(struct pair *p)
{
	plan_free(p->plan);
	table_free(p->table);
	schema_free(p->reader);
	schema_free(p->writer);
	*p = (struct pair){0};
}
