/*
 * keys.c - stored values of a key's columns as an event's decoder writes them: form.c backwards,
 * for the types that can be a key (codec/sqltype.c).
 *
 *   stored value --codec/pgbin.h--> field of COPY BINARY --> compared with the beginning of a row
 *                                                       \--> SHA-256: in a sample or not
 *
 * So "verify" and "why" look for events of a row's key by the same bytes on both databases, and a
 * sample has the same keys in both.
 *
 * Thread: the connection's. Failure: a value that the worker cannot have written has no key: null.
 */
#include "sqlite/keys.h"

#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "codec/pgbin.h"
#include "codec/table.h"
#include "file/number.h"

static struct slice bytes_of(sqlite3_value *v)
{
	const uint8_t *bytes = sqlite3_value_blob(v);
	return (struct slice){bytes, (size_t)sqlite3_value_bytes(v)};
}

/* All of its digits are in the text, so those behind the point are its scale. */
static bool put_numeric(struct buf *out, sqlite3_value *v, struct refusal *why)
{
	const char *text = (const char *)sqlite3_value_text(v), *point = strchr(text, '.');
	uint32_t scale = point ? (uint32_t)strlen(point + 1) : 0;
	struct buf unscaled = {0};
	bool ok = number_is(text, strlen(text)) &&
		  number_decimal(text, strlen(text), UINT32_MAX, scale, &unscaled) == NUMBER_FITS &&
		  pgbin_numeric(out, (struct slice){unscaled.data, unscaled.len}, 0, scale, why);
	buf_free(&unscaled);
	return ok;
}

/* False: not of that kind, or the kind is no key's. */
static bool put_field(struct buf *out, enum pg_kind kind, sqlite3_value *v)
{
	int64_t n = sqlite3_value_int64(v);
	struct refusal why;
	switch (kind) {
	case PG_BOOL:
		pgbin_bool(out, n != 0);
		return true;
	case PG_INT2:
		return pgbin_int2_checked(out, n, &why);
	case PG_INT4:
		return pgbin_int4_checked(out, n, &why);
	case PG_INT8:
		pgbin_int8(out, n);
		return true;
	case PG_TEXT:
	case PG_BYTEA:
		pgbin_bytes(out, bytes_of(v));
		return true;
	case PG_UUID:
		return pgbin_uuid_text(out, bytes_of(v), &why);
	case PG_DATE:
		return pgbin_date(out, n, &why);
	case PG_TIME:
		return pgbin_time(out, n, &why);
	case PG_TIMESTAMP:
		return pgbin_timestamp(out, n, UNIT_MICROS, &why);
	case PG_NUMERIC:
		return put_numeric(out, v, &why);
	case PG_FLOAT4:
	case PG_FLOAT8:
	case PG_JSONB:
	case PG_INTERVAL:
	case PG_VECTOR:
	case PG_HALFVEC:
	case PG_ARRAY:
		break;
	}
	return false;
}

static void key(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct buf out = {0};
	bool ok = true;
	for (int i = 0; ok && i + 1 < n; i += 2)
		ok = sqlite3_value_type(v[i + 1]) != SQLITE_NULL &&
		     put_field(&out, (enum pg_kind)sqlite3_value_int(v[i]), v[i + 1]);
	if (ok)
		sqlite3_result_blob64(c, out.data, out.len, SQLITE_TRANSIENT);
	buf_free(&out);
}

static void share(sqlite3_context *c, int n, sqlite3_value **v)
{
	uint8_t digest[DIGEST_SIZE];
	(void)n;
	digest_bytes(bytes_of(v[0]), digest);
	sqlite3_result_int64(c, get_be32(digest));
}

bool keys_add(struct db *db, struct err *err)
{
	static const struct {
		const char *name;
		int n;
		void (*call)(sqlite3_context *, int, sqlite3_value **);
	} all[] = {{"memingest_key", -1, key}, {"memingest_share", 1, share}};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (sqlite3_create_function(db->handle, all[i].name, all[i].n,
					    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
					    NULL, all[i].call, NULL, NULL) != SQLITE_OK)
			return err_set(err, ERR_FATAL, "%s: %s", all[i].name,
				       sqlite3_errmsg(db->handle));
	return true;
}
