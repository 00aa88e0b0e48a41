/*
 * avrofile.c - the records of an Avro container file, one after another, as JSON text.
 *
 * Avro-C reads the file: header, codec (null, deflate, and what the library was built with),
 * blocks, sync markers, and the file's own schema. The values come out in Avro's JSON encoding, so
 * that a container file and a file of JSON lines go the same way from here on. For a command on
 * files of the operator's own: Avro-C is not hardened against hostile data, so nothing that comes
 * over the network may be read with it.
 *
 * Thread: one owner. Failure: a damaged block ends the file, as its place in the stream is lost.
 */
#include "io/avrofile.h"

#include <avro.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct avrofile {
	avro_file_reader_t reader;
	avro_schema_t schema;
	avro_value_iface_t *iface;
	avro_value_t value;
};

bool avrofile_is(const char *path)
{
	char magic[4] = {0};
	FILE *file = fopen(path, "rb");
	bool is = file && fread(magic, 1, sizeof(magic), file) == sizeof(magic) &&
		  memcmp(magic, "Obj\1", 4) == 0;
	if (file)
		fclose(file);
	return is;
}

struct avrofile *avrofile_open(const char *path, struct err *err)
{
	if (!avrofile_is(path)) { /* Avro-C 1.11 leaks a reader when the header is wrong */
		err_set(err, ERR_CONFIG, "%s: no Avro container file", path);
		return NULL;
	}
	struct avrofile *f = xcalloc(1, sizeof(*f));
	if (avro_file_reader(path, &f->reader) != 0) {
		err_set(err, ERR_CONFIG, "%s: the header cannot be read: %s", path,
			avro_strerror());
		free(f);
		return NULL;
	}
	f->schema = avro_file_reader_get_writer_schema(f->reader);
	f->iface = avro_generic_class_from_schema(f->schema);
	if (f->iface && avro_generic_value_new(f->iface, &f->value) == 0)
		return f;
	err_set(err, ERR_CONFIG, "%s: %s", path, avro_strerror());
	avrofile_close(f);
	return NULL;
}

void avrofile_close(struct avrofile *f)
{
	if (!f)
		return;
	if (f->value.self)
		avro_value_decref(&f->value);
	if (f->iface)
		avro_value_iface_decref(f->iface);
	avro_schema_decref(f->schema);
	avro_file_reader_close(f->reader);
	free(f);
}

enum avrofile_result avrofile_next(struct avrofile *f, char **text, struct err *err)
{
	*text = NULL;
	avro_value_reset(&f->value);
	int code = avro_file_reader_read_value(f->reader, &f->value);
	if (code == EOF)
		return AVROFILE_END;
	if (code != 0) {
		err_set(err, ERR_POISON, "the file is damaged here: %s", avro_strerror());
		return AVROFILE_BAD;
	}
	if (avro_value_to_json(&f->value, 1, text) != 0)
		*text = NULL;
	return AVROFILE_RECORD;
}
