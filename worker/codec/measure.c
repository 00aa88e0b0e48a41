/*
 * measure.c - how many bytes does a datum of this schema have?
 *
 * The steps that pass over a value of the writer (resolve_skip) walk over the datum, with every
 * bound that walking has. The bounds are wider than those of the config: a datum that is over a
 * limit there is one bad record, which is for the decoder to say; here it would be the end of the
 * file, as nobody would know where the next one begins.
 *
 * Memory: an arena of steps. Immutable after measure_new(), free to share between threads.
 */
#include "codec/measure.h"

#include <stdlib.h>

#include "codec/resolve.h"

enum {
	MAX_DEPTH = 512, /* levels are C stack */
	MAX_ITEMS = 10000000,
};

struct measure {
	struct arena *arena;
	const struct step *skip;
};

/* Cannot fail: every schema can be walked over. */
struct measure *measure_new(const struct schema *schema)
{
	struct measure *m = xcalloc(1, sizeof(*m));
	struct err unused = {0};
	m->arena = arena_new();
	struct resolver k = {.arena = m->arena, .err = &unused};
	m->skip = resolve_skip(&k, schema->root);
	free(k.pairs);
	return m;
}

void measure_free(struct measure *m)
{
	if (!m)
		return;
	arena_free(m->arena);
	free(m);
}

/* Whatever stands behind the datum is left alone. */
bool measure_datum(const struct measure *m, struct slice bytes, size_t *len, struct err *err)
{
	struct refusal why = {0};
	struct cursor c = {.p = bytes.data,
			   .end = bytes.data + bytes.len,
			   .depth = MAX_DEPTH,
			   .items = MAX_ITEMS,
			   .why = &why};
	if (!walk_skip(&c, m->skip))
		return err_set(err, ERR_POISON, "at byte %zu: %s", (size_t)(c.p - bytes.data),
			       why.text);
	*len = (size_t)(c.p - bytes.data);
	return true;
}
