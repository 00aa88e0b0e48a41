/*
 * fuzz_container.c - Avro containers: any bytes end well, within the limit of memory, and a record
 * that is given out can be recoded to its own schema.
 *
 * The input stands behind the magic of a container, so that the fuzzer need not find it.
 */

#include "codec/recode.h"
#include "file/container.h"
#include "fuzz.h"

static const struct decode_limits limits = {.max_depth = 64,
					    .max_items = 100000,
					    .max_string_bytes = 1 << 20,
					    .max_row_bytes = 1 << 22,
					    .max_key_bytes = 1 << 20};

static void read_all(struct container *c)
{
	struct err err = {0};
	struct slice datum;
	struct buf out = {0};
	struct recoder *r = recoder_new(container_schema(c), container_schema(c), &limits, &err);
	for (int n = 0; n < 10000 && container_next(c, &datum, &err) == CONTAINER_RECORD; n++) {
		out.len = 0;
		if (r && recode(r, datum, &out, &err) && out.len > 4 * datum.len + 1000)
			give_up("recode", "nothing grows but counts of blocks");
	}
	recoder_free(r);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = {0};
	struct input in;
	struct buf bytes = {0};
	buf_puts(&bytes, "Obj\1");
	buf_put(&bytes, data, size);
	struct fuzz_file f = fuzz_file(bytes.data, bytes.len);
	buf_free(&bytes);
	if (input_open(&in, f.path, &err)) {
		struct container *c = container_open(&in, 1 << 20, &err);
		if (c)
			read_all(c);
		container_close(c);
	}
	input_close(&in);
	close(f.fd);
	return 0;
}
