/*
 * container.c - the records of an Avro container file, one after another, as the bytes of their
 * datums.
 *
 *   "Obj" 01 | metadata: map of bytes | sync, 16 bytes |                     header
 *   count | size | size bytes, packed by "avro.codec" | sync |               block, any number
 *                  datum datum datum ...                                     unpacked
 *
 * (Avro 1.11 specification, "Object Container Files".) Our own reader of this short format, because
 * Avro-C's gives values and not bytes, so that each would be encoded once more; because it knows
 * the codecs it was built with and says of another one only that the file cannot be read; and
 * because it is not made for hostile data. Avro-C stays the oracle of the tests, and their writer.
 *
 * Datums have no lengths: where one ends, only its schema tells. So each is walked once, with every
 * bound that the decoder has, and handed out whole.
 *
 * A file is believed in nothing: sizes are compared with a limit before memory is asked for, the
 * count of a block with its bytes, a block has to end where its last record does, and behind it
 * stands the marker. What follows a fault cannot be trusted to be aligned, so a fault ends the
 * file. Metadata that we do not know is passed over, as the specification asks.
 *
 * Thread: the owner's. Memory: one block, packed and unpacked, and the schema.
 */
#include "file/container.h"

#include <stdlib.h>
#include <string.h>

#include "codec/measure.h"
#include "codec/walk.h"
#include "file/unpack.h"

enum {
	SYNC = 16,
	MAX_VARINT = 10,
	MAX_KEY = 4096,          /* bytes of a metadata key */
	MAX_EMPTY_RECORDS = 4096 /* in a block: records without bytes cost nothing to write */
};

#define MAX_METADATA ((int64_t)16 * 1024 * 1024) /* all of it */

static const char magic[] = {'O', 'b', 'j', 1};

struct container {
	struct input *in;
	struct schema *schema;
	struct measure *measure;
	struct unpacker *unpacker;
	size_t max_block;
	uint8_t sync[SYNC];
	/* the block that is open */
	struct slice rest;    /* of its bytes */
	uint64_t count, left; /* records that it has, that were not yet given */
	uint64_t block, block_offset;
	size_t stands; /* bytes of the input that it stands in: taken when it is done */
};

/* ---- pieces of the file ---- */

static bool cut_off(struct err *err)
{
	return err_set(err, ERR_POISON, "the file is cut off");
}

/* n bytes have to stand in the window. */
static bool need(struct container *c, size_t n, struct err *err)
{
	return input_want(c->in, n, err) && (input_has(c->in) >= n || cut_off(err));
}

/* More bytes than the number may have are asked for: the file may end behind it. */
static bool read_long(struct container *c, int64_t *v, struct err *err)
{
	struct refusal why = {0};
	*v = 0;
	if (!input_want(c->in, MAX_VARINT, err))
		return false;
	if (input_has(c->in) == 0)
		return cut_off(err);
	struct cursor at = {.p = c->in->p, .end = c->in->end, .why = &why};
	if (!walk_long(&at, v))
		return input_has(c->in) < MAX_VARINT ? cut_off(err)
						     : err_set(err, ERR_POISON, "%s", why.text);
	input_take(c->in, (size_t)(at.p - c->in->p));
	return true;
}

/* Length and bytes, which stand in the window and are not taken. */
static bool read_bytes(struct container *c, int64_t max, struct slice *v, struct err *err)
{
	int64_t len;
	*v = (struct slice){0};
	if (!read_long(c, &len, err))
		return false;
	if (len < 0 || len > max)
		return err_set(err, ERR_POISON, "a length of %lld", (long long)len);
	if (len > 0 && !need(c, (size_t)len, err))
		return false;
	*v = (struct slice){c->in->p, (size_t)len};
	return true;
}

/* ---- header ---- */

/* A schema that is wrong makes the file wrong, not the config. */
static bool set_schema(struct container *c, struct slice text, struct err *err)
{
	if (c->schema)
		return err_set(err, ERR_POISON, "avro.schema stands twice");
	c->schema = schema_parse((const char *)text.data, text.len, err);
	if (c->schema)
		return true;
	err->class = ERR_POISON; /* not the config is wrong, but the file */
	return false;
}

/* A codec that is not known ends the file: nothing in it can be read. */
static bool set_codec(struct container *c, struct slice name, struct err *err)
{
	if (c->unpacker)
		return err_set(err, ERR_POISON, "avro.codec stands twice");
	c->unpacker = unpacker_new(name);
	return c->unpacker ||
	       err_set(err, ERR_POISON, "codec \"%.*s\" is not known; known are %s",
		       (int)MIN(name.len, (size_t)40), (const char *)name.data, unpacker_names());
}

static bool is_text(struct slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* left: what the whole metadata may still be; unknown keys are passed over. */
static bool read_entry(struct container *c, int64_t *left, struct err *err)
{
	struct slice key, value;
	if (!read_bytes(c, MIN(*left, MAX_KEY), &key, err))
		return false;
	bool schema = is_text(key, "avro.schema"), codec = is_text(key, "avro.codec");
	*left -= (int64_t)key.len;
	input_take(c->in, key.len);
	if (!read_bytes(c, *left, &value, err))
		return false;
	*left -= (int64_t)value.len;
	if ((schema && !set_schema(c, value, err)) || (codec && !set_codec(c, value, err)))
		return false;
	input_take(c->in, value.len);
	return true;
}

/* A map of bytes, in blocks. */
static bool read_metadata(struct container *c, struct err *err)
{
	int64_t count, size, left = MAX_METADATA;
	for (;;) {
		if (!read_long(c, &count, err))
			return false;
		if (count == 0)
			return true;
		if (count < 0 && !read_long(c, &size, err)) /* a size for those who skip */
			return false;
		uint64_t n = count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
		for (; n > 0; n--)
			if (left-- <= 0 || !read_entry(c, &left, err))
				return err->class != ERR_NONE
					       ? false
					       : err_set(err, ERR_POISON, "too many entries");
	}
}

/* Everything that must be known before the first block. */
static bool read_header(struct container *c, struct err *err)
{
	err_clear(err);
	if (!need(c, sizeof(magic), err))
		return false;
	input_take(c->in, sizeof(magic));
	if (!read_metadata(c, err) || !need(c, SYNC, err))
		return false;
	memcpy(c->sync, c->in->p, SYNC);
	input_take(c->in, SYNC);
	if (!c->schema)
		return err_set(err, ERR_POISON, "it has no avro.schema");
	return c->unpacker || set_codec(c, (struct slice){(const uint8_t *)"null", 4}, err);
}

/* ---- blocks ---- */

/* The count is held against the bytes, as records of no bytes could be endless. */
static bool open_block(struct container *c, int64_t count, struct slice packed, struct err *err)
{
	struct slice body;
	if (!unpack(c->unpacker, packed, c->max_block, &body, err))
		return false;
	/* also below 0 */
	if ((uint64_t)count > MAX(body.len, (size_t)MAX_EMPTY_RECORDS))
		return err_set(err, ERR_POISON, "it states %lld records in %zu bytes",
			       (long long)count, body.len);
	c->count = c->left = (uint64_t)count;
	c->rest = body;
	return true;
}

/* The next block's bytes, unpacked; its place in the window stays until it is done. */
static bool read_block(struct container *c, struct err *err)
{
	int64_t count, size;
	if (!read_long(c, &count, err) || !read_long(c, &size, err))
		return false;
	if (size < 0 || (uint64_t)size > c->max_block)
		return err_set(err, ERR_POISON, "it states %lld bytes, at most %zu are read",
			       (long long)size, c->max_block);
	if (!need(c, (size_t)size + SYNC, err))
		return false;
	if (memcmp(c->in->p + size, c->sync, SYNC) != 0)
		return err_set(err, ERR_POISON,
			       "the sync marker behind its %lld bytes is not the file's",
			       (long long)size);
	c->stands = (size_t)size + SYNC;
	return open_block(c, count, (struct slice){c->in->p, (size_t)size}, err);
}

/* Only now its bytes are taken out of the window. */
static bool close_block(struct container *c, struct err *err)
{
	if (c->rest.len > 0)
		return err_set(err, ERR_POISON, "%zu bytes are left behind its last record",
			       c->rest.len);
	input_take(c->in, c->stands);
	c->stands = 0;
	return true;
}

static enum container_result broken(struct container *c, struct err *err)
{
	err_wrap(err, "block %llu at offset %llu", (unsigned long long)c->block,
		 (unsigned long long)c->block_offset);
	return CONTAINER_BROKEN;
}

/* Until a block has a record: some are empty. */
static enum container_result next_block(struct container *c, struct err *err)
{
	while (c->left == 0) {
		if (!close_block(c, err))
			return broken(c, err);
		c->block++;
		c->block_offset = c->in->offset;
		if (!input_want(c->in, 1, err))
			return broken(c, err);
		if (input_has(c->in) == 0)
			return CONTAINER_END;
		if (!read_block(c, err))
			return broken(c, err);
	}
	return CONTAINER_RECORD;
}

/* A record that is no datum ends the file: the next could begin anywhere. */
enum container_result container_next(struct container *c, struct slice *datum, struct err *err)
{
	enum container_result result = next_block(c, err);
	if (result != CONTAINER_RECORD)
		return result;
	size_t len;
	if (!measure_datum(c->measure, c->rest, &len, err)) {
		unsigned long long number = c->count - c->left + 1;
		err_wrap(err, "record %llu of %llu", number, (unsigned long long)c->count);
		return broken(c, err);
	}
	*datum = (struct slice){c->rest.data, len};
	c->rest = (struct slice){c->rest.data + len, c->rest.len - len};
	c->left--;
	return CONTAINER_RECORD;
}

/* ---- open and close ---- */

bool container_is(struct input *in)
{
	return input_has(in) >= sizeof(magic) && memcmp(in->p, magic, sizeof(magic)) == 0;
}

/* NULL with the reason; in stays the caller's in any case. */
struct container *container_open(struct input *in, size_t max_block, struct err *err)
{
	struct container *c = xcalloc(1, sizeof(*c));
	c->in = in;
	c->max_block = max_block;
	if (read_header(c, err)) {
		c->measure = measure_new(c->schema);
		return c;
	}
	err_wrap(err, "the header of the Avro container");
	container_close(c);
	return NULL;
}

void container_close(struct container *c)
{
	if (!c)
		return;
	unpacker_free(c->unpacker);
	measure_free(c->measure);
	schema_free(c->schema);
	free(c);
}

const struct schema *container_schema(const struct container *c)
{
	return c->schema;
}

uint64_t container_block(const struct container *c, uint64_t *offset)
{
	*offset = c->block_offset;
	return c->block;
}
