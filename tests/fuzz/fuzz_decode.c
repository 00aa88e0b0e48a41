/*
 * fuzz_decode.c - any bytes as a datum, under many schemas: the decoder against Avro-C.
 *
 *   input: one byte picks the schemas, the rest is the datum
 *
 * Schemas: the shipped events, then random pairs (tests/unit/random_avro.c) by their seeds, so a
 * number always means the same pair.
 *
 *   ours takes it     Avro-C has to take it, all of it, and the row has to hold what Avro-C read
 *                     (tests/unit/oracle.c)
 *   ours refuses it   out is as it was; and if the reason is "decode", Avro-C must not have a value
 *                     that it writes as these very bytes
 *
 * Where a block states its size, ours jumps over what nobody reads, and Avro-C ignores the size. So
 * data whose blocks have a wrong size, or faults inside of a sized block, are compared by nobody;
 * blocks_agree() finds them.
 *
 * Avro-C crashes on some inputs. What it gets to see is at most 4 kB, so that its recursion ends,
 * and its memory comes from an arena of this file, which bounds and forgets it: what it would leak
 * is gone with the next input.
 *
 * MEMINGEST_FUZZ_SEEDS=DIR writes a good datum per schema pair to DIR and ends.
 */

#include "../unit/oracle.h"
#include "../unit/random_avro.h"
#include "codec/decode.h"
#include "codec/plan.h"
#include "codec/table.h"
#include "fuzz.h"
#include "schema/schema.h"

enum { PAIRS = 96, MAX_INPUT = 4096 };

static const char *const shipped[] = {"schemas/memory_event.avsc", "schemas/pattern_event.avsc",
				      "schemas/trajectory_event.avsc"};

static const struct decode_limits limits = {.max_depth = 64,
					    .max_items = 100000,
					    .max_string_bytes = 1 << 20,
					    .max_row_bytes = 1 << 22,
					    .max_key_bytes = 2600};

static struct pair {
	struct schema *writer, *reader;
	struct table *table;
	struct plan *plan;
	avro_schema_t avro_writer, avro_reader;
	avro_value_iface_t *writer_class, *reader_class, *resolver;
} pairs[PAIRS];

static struct decoder *decoder;

/* --- Avro-C's memory --- */

static struct {
	bool on;
	size_t used;
	_Alignas(16) uint8_t bytes[32 << 20];
} arena;

/*
 * As realloc; nsize 0 frees. What was taken while the arena is on is forgotten when it is switched
 * off.
 */
static void *arena_realloc(void *user, void *p, size_t osize, size_t nsize)
{
	(void)user;
	bool inside =
		(uint8_t *)p >= arena.bytes && (uint8_t *)p < arena.bytes + sizeof(arena.bytes);
	if (nsize == 0) {
		if (!inside)
			free(p);
		return NULL;
	}
	if (!arena.on || (p && !inside))
		return realloc(p, nsize);
	if (nsize > sizeof(arena.bytes) - arena.used - 16)
		return NULL;
	void *q = arena.bytes + arena.used;
	arena.used += (nsize + 15) & ~(size_t)15;
	if (p)
		memcpy(q, p, osize < nsize ? osize : nsize);
	return q;
}

/* --- schemas --- */

static void make_pair(struct pair *p, const struct random_pair *text)
{
	struct err err = {0};
	p->writer = schema_parse((char *)text->writer.data, text->writer.len, &err);
	p->reader = schema_parse((char *)text->reader.data, text->reader.len, &err);
	p->table = p->writer && p->reader ? table_new(p->reader, &err) : NULL;
	p->plan = p->table ? plan_new(p->writer, p->table, &err) : NULL;
	if (!p->plan)
		give_up("plan", err.text);
	if (avro_schema_from_json_length((char *)text->writer.data, text->writer.len,
					 &p->avro_writer) != 0 ||
	    avro_schema_from_json_length((char *)text->avro_reader.data, text->avro_reader.len,
					 &p->avro_reader) != 0)
		give_up("avro_schema_from_json", avro_strerror());
	p->writer_class = avro_generic_class_from_schema(p->avro_writer);
	p->reader_class = avro_generic_class_from_schema(p->avro_reader);
	p->resolver = avro_resolved_writer_new(p->avro_writer, p->avro_reader);
	if (!p->resolver)
		give_up("avro_resolved_writer_new", avro_strerror());
}

static void write_seed(const char *dir, size_t i)
{
	struct random random = {.state = i};
	struct buf datum = {0};
	avro_value_t value;
	char path[400];
	buf_u8(&datum, (uint8_t)i);
	avro_generic_value_new(pairs[i].writer_class, &value);
	random_fill(&random, pairs[i].writer->root, &value);
	random_encode(&random, &value, &datum);
	avro_value_decref(&value);
	snprintf(path, sizeof(path), "%s/pair-%02zu", dir, i);
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(datum.data, 1, datum.len, f) != datum.len || fclose(f) != 0)
		give_up(path, "cannot be written");
	buf_free(&datum);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	avro_set_allocator(arena_realloc, NULL);
	for (size_t i = 0; i < PAIRS; i++) {
		struct random_pair text = {0};
		struct random random = {.state = i};
		if (i < ARRAY_LEN(shipped)) {
			fuzz_read_file(shipped[i], &text.writer);
			fuzz_read_file(shipped[i], &text.reader);
			fuzz_read_file(shipped[i], &text.avro_reader);
		} else {
			random_pair(&random, &text);
		}
		make_pair(&pairs[i], &text);
		random_pair_free(&text);
	}
	decoder = decoder_new(&limits);
	const char *seeds = getenv("MEMINGEST_FUZZ_SEEDS");
	for (size_t i = 0; seeds && i < PAIRS; i++)
		write_seed(seeds, i);
	if (seeds)
		exit(0);
	return 0;
}

/* --- blocks with sizes --- */

struct walk {
	const uint8_t *p, *end;
	bool sized; /* met a block with a size */
	int depth;
};

static bool walk_value(struct walk *w, const struct schema_type *t);

static bool walk_bytes(struct walk *w, uint64_t n)
{
	if (n > (uint64_t)(w->end - w->p))
		return false;
	w->p += n;
	return true;
}

static bool walk_number(struct walk *w, int64_t *v)
{
	uint64_t z = 0;
	for (unsigned shift = 0; shift < 64 && w->p < w->end; shift += 7) {
		uint8_t b = *w->p++;
		z |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80) {
			*v = (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
			return true;
		}
	}
	return false;
}

static bool walk_blocks(struct walk *w, const struct schema_type *t)
{
	for (;;) {
		int64_t n = 0, size = -1, len = 0;
		if (!walk_number(w, &n) || n == INT64_MIN)
			return false;
		if (n < 0) {
			w->sized = true;
			n = -n;
			if (!walk_number(w, &size))
				return false;
		}
		if (n == 0 && size < 0)
			return true;
		const uint8_t *start = w->p;
		for (; n > 0; n--) {
			if (t->kind == SCHEMA_MAP &&
			    (!walk_number(w, &len) || len < 0 || !walk_bytes(w, (uint64_t)len)))
				return false;
			if (!walk_value(w, t->items))
				return false;
		}
		if (size >= 0 && w->p - start != size)
			return false;
	}
}

static bool walk_nested(struct walk *w, const struct schema_type *t)
{
	int64_t n = 0;
	if (t->kind == SCHEMA_ARRAY || t->kind == SCHEMA_MAP)
		return walk_blocks(w, t);
	if (t->kind == SCHEMA_UNION)
		return walk_number(w, &n) && n >= 0 && (uint64_t)n < t->nbranches &&
		       walk_value(w, t->branches[n]);
	for (size_t i = 0; i < t->nfields; i++)
		if (!walk_value(w, t->fields[i].type))
			return false;
	return true;
}

static bool walk_value(struct walk *w, const struct schema_type *t)
{
	int64_t n = 0;
	bool ok;
	switch (t->kind) {
	case SCHEMA_NULL:
		return true;
	case SCHEMA_BOOLEAN:
		return walk_bytes(w, 1);
	case SCHEMA_INT:
		return walk_number(w, &n) && n == (int32_t)n;
	case SCHEMA_ENUM:
	case SCHEMA_LONG:
		return walk_number(w, &n);
	case SCHEMA_FLOAT:
		return walk_bytes(w, 4);
	case SCHEMA_DOUBLE:
		return walk_bytes(w, 8);
	case SCHEMA_FIXED:
		return walk_bytes(w, t->size);
	case SCHEMA_BYTES:
	case SCHEMA_STRING:
		return walk_number(w, &n) && n >= 0 && walk_bytes(w, (uint64_t)n);
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
	case SCHEMA_UNION:
		w->depth++;
		ok = w->depth < 1000 && walk_nested(w, t);
		w->depth--;
		return ok;
	}
	return false;
}

/* No block states a size, or all that do are right and what they hold is well-formed. */
static bool blocks_agree(const struct pair *p, struct slice body)
{
	struct walk w = {.p = body.data, .end = body.data + body.len};
	return walk_value(&w, p->writer->root) || !w.sized;
}

/* --- one input --- */

/* Whether Avro-C reads all of body, resolved, into view. */
static bool avro_reads(const struct pair *p, struct slice body, avro_value_t *view)
{
	avro_value_t into;
	avro_reader_t in = avro_reader_memory((const char *)body.data, (int64_t)body.len);
	avro_generic_value_new(p->reader_class, view);
	avro_resolved_writer_new_value(p->resolver, &into);
	avro_resolved_writer_set_dest(&into, view);
	char more;
	return avro_value_read(in, &into) == 0 && avro_read(in, &more, 1) != 0;
}

/* Whether body is the encoding, by Avro-C, of what Avro-C reads from it. */
static bool avro_agrees(const struct pair *p, struct slice body)
{
	static char again[MAX_INPUT * 2];
	avro_value_t value;
	avro_reader_t in = avro_reader_memory((const char *)body.data, (int64_t)body.len);
	avro_generic_value_new(p->writer_class, &value);
	if (avro_value_read(in, &value) != 0)
		return false;
	avro_writer_t out = avro_writer_memory(again, sizeof(again));
	return avro_value_write(out, &value) == 0 && avro_writer_tell(out) == (int64_t)body.len &&
	       memcmp(again, body.data, body.len) == 0;
}

static void check_taken(const struct pair *p, struct slice body, const struct buf *row,
			const struct record *record)
{
	avro_value_t view;
	struct oracle oracle = {0};
	if (record->row_len != row->len - 1 || record->key_len > record->row_len)
		give_up("record", "row_len or key_len");
	if (!blocks_agree(p, body))
		return;
	if (!avro_reads(p, body, &view)) {
		if (record->op == RECORD_DELETE)
			return; /* of a delete we read little, and what resolves not is not read */
		give_up("Avro-C refuses what was taken", avro_strerror());
	}
	if (!oracle_row(&oracle, p->table, &view, record->op,
			(struct slice){row->data + 1, row->len - 1}))
		give_up("row", oracle.why);
}

static void check_refused(const struct pair *p, struct slice body, const struct buf *row,
			  const struct record *record, const struct err *err)
{
	if (row->len != 1 || row->data[0] != 'x' || err->class != ERR_POISON)
		give_up("a refusal changed the row, or is none of an event", err->text);
	check_words(err);
	if (strstr(err->text, "enum index") || strstr(err->text, "a boolean is"))
		return; /* neither of which Avro-C checks */
	if (record->reason == REASON_DECODE && avro_agrees(p, body))
		give_up("Avro-C takes what was refused", err->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf row = {0};
	struct record record;
	struct err err = {0};
	if (size < 1 || size > MAX_INPUT)
		return 0;
	const struct pair *p = &pairs[data[0] % PAIRS];
	struct slice body = {data + 1, size - 1};
	buf_u8(&row, 'x');
	bool taken = decode_record(decoder, p->plan, body, &row, &record, &err);
	arena.on = true;
	arena.used = 0;
	if (taken)
		check_taken(p, body, &row, &record);
	else
		check_refused(p, body, &row, &record, &err);
	arena.on = false;
	buf_free(&row);
	return 0;
}
