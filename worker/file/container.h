/*
 * container.h - the records of an Avro container file, one after another, as the bytes of their
 * datums.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "file/input.h"
#include "schema/schema.h"

/* Of a block, packed and unpacked: it stands in memory. Writers make blocks of 16 KiB to a few MiB.
 */
#define CONTAINER_MAX_BLOCK ((size_t)64 * 1024 * 1024)

struct container;

/* Does the input begin as a container does? */
bool container_is(struct input *in);

/*
 * Reads the header. in is borrowed. max_block: usually CONTAINER_MAX_BLOCK. NULL with class POISON:
 * damaged, a codec that nobody here knows, a schema that is none.
 */
struct container *container_open(struct input *in, size_t max_block, struct err *err);
void container_close(struct container *c); /* NULL is fine */

/* The schema that the records were written with; lives as long as c. */
const struct schema *container_schema(const struct container *c);

enum container_result {
	CONTAINER_RECORD,
	CONTAINER_END,
	CONTAINER_BROKEN, /* damaged: nothing behind it can be read */
};

/* datum: until the next call. The error begins with block and offset in the file. */
enum container_result container_next(struct container *c, struct slice *datum, struct err *err);

/* The block that the record given last is in, from 1, and the offset where it begins. */
uint64_t container_block(const struct container *c, uint64_t *offset);
