/*
 * same_rows.c - two rows compared by what they mean: for the tests that read one datum in two ways.
 *
 * Rows are well-formed; pure.
 */
#include "same_rows.h"

#include <jansson.h>
#include <string.h>

/* Behind the byte of jsonb's version. */
static bool same_json(struct slice a, struct slice b)
{
	json_t *x = json_loadb((const char *)a.data + 1, a.len - 1, JSON_DECODE_ANY, NULL),
	       *y = json_loadb((const char *)b.data + 1, b.len - 1, JSON_DECODE_ANY, NULL);
	bool same = x && y && json_equal(x, y);
	json_decref(x);
	json_decref(y);
	return same;
}

static struct slice field_at(struct slice row, size_t *at)
{
	uint32_t len = get_be32(row.data + *at);
	struct slice field = {row.data + *at + 4, len == UINT32_MAX ? 0 : len};
	*at += 4 + field.len;
	return field;
}

static bool same_bytes(struct slice a, struct slice b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

bool same_rows(const struct table *t, struct slice a, struct slice b)
{
	size_t i = 0, j = 0;
	for (size_t n = 0; n < t->ncolumns; n++) {
		bool nulls = get_be32(a.data + i) == UINT32_MAX;
		if (nulls != (get_be32(b.data + j) == UINT32_MAX))
			return false;
		struct slice x = field_at(a, &i), y = field_at(b, &j);
		bool json = !nulls && t->columns[n].kind == PG_JSONB;
		/* JSON that jansson cannot hold (1e999) is the same if its bytes are */
		if (!same_bytes(x, y) && !(json && same_json(x, y)))
			return false;
	}
	return i == a.len && j == b.len;
}
