/*
 * container_put.h - Avro container files by hand, for tests: whole ones, and any that are wrong.
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include "avro_put.h"
#include "unit.h"

#define PUT_UNUSED __attribute__((unused))

static const char container_sync[] = "0123456789abcdef";

static inline void container_entry(struct buf *b, const char *key, const void *value, size_t n)
{
	avro_string(b, key);
	avro_bytes(b, value, n);
}

/* codec: NULL for none named. */
static inline void container_header(struct buf *b, const char *schema, const char *codec)
{
	buf_put(b, "Obj\1", 4);
	avro_long(b, codec ? 2 : 1);
	container_entry(b, "avro.schema", schema, strlen(schema));
	if (codec)
		container_entry(b, "avro.codec", codec, strlen(codec));
	avro_long(b, 0);
	buf_put(b, container_sync, 16);
}

static inline void container_block_put(struct buf *b, int64_t count, const void *packed, size_t n)
{
	avro_long(b, count);
	avro_bytes(b, packed, n);
	buf_put(b, container_sync, 16);
}

/* A file of these bytes; path is a template, as of mkstemp. */
PUT_UNUSED static void file_put(char *path, const void *bytes, size_t n)
{
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	close(fd);
}

#define FILE_TEMPLATE "/tmp/memingest-unit-XXXXXX"
