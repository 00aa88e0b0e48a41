/*
 * conflict.c - how an existing row changes.
 *
 * With t the row and e the event ("excluded"), a column becomes
 *
 *   replace  e                         coalesce  coalesce(e, t)                keep  not set
 *   add      coalesce(t + e, t, e)     min, max  least(t, e), greatest(t, e)
 *   json     coalesce(t || e, e, t), where the JSON null is as good as null
 *
 * Under "newer" an event is fresh if the row has no version or the event's is not lower; null is
 * the oldest version. If no column accumulates (add, min, max) a stale event writes nothing, so the
 * condition says so and the columns need not ask again. Else a stale event still counts: each
 * column that follows the version asks by itself (CASE).
 *
 * An update that changes nothing writes nothing. The comparison is first by the version (which
 * differs for nearly every real update, so the rest is not looked at), then by the whole row with
 * *<>, which compares bytes: it knows every type, also those without an equality operator (json,
 * point, xml) or with a coarse one (citext, numeric, -0.0). Where that finds a difference that "="
 * would not, the row is written, which is the safe side.
 *
 * Pure text: no connection, no failure.
 */
#include "core/conflict.h"

#include "core/sqlname.h"

void conflict_put_column(struct buf *out, const char *prefix, const struct column *c)
{
	buf_printf(out, "%s.", prefix);
	buf_quoted(out, c->name, '"');
}

/* What a late event changes as well. */
static bool rule_accumulates(enum merge_rule rule)
{
	return rule == MERGE_ADD || rule == MERGE_MIN || rule == MERGE_MAX;
}

/* Without a version column "newer" means "update". */
struct conflict conflict_of(const struct table *t, enum on_conflict on_conflict)
{
	struct conflict m = {.table = t, .on_conflict = on_conflict};
	if (t->version < 0 && on_conflict == CONFLICT_NEWER)
		m.on_conflict = CONFLICT_UPDATE;
	if (m.on_conflict == CONFLICT_NEWER && (size_t)t->version >= t->nkeys)
		m.version = &t->columns[t->version];
	for (size_t i = t->nkeys; i < t->ncolumns; i++)
		m.accumulates |= rule_accumulates(t->columns[i].merge);
	return m;
}

/* A row without version is older than any event. */
static void put_fresh(struct buf *out, const struct conflict *m)
{
	buf_puts(out, "(");
	conflict_put_column(out, "t", m->version);
	buf_puts(out, " IS NULL OR ");
	conflict_put_column(out, "excluded", m->version);
	buf_puts(out, " >= ");
	conflict_put_column(out, "t", m->version);
	buf_puts(out, ")");
}

/* "before" t.c "between" excluded.c "after" */
static void put_pair(struct buf *out, const struct column *c, const char *before,
		     const char *between, const char *after)
{
	buf_puts(out, before);
	conflict_put_column(out, "t", c);
	buf_puts(out, between);
	conflict_put_column(out, "excluded", c);
	buf_puts(out, after);
}

/* t is the row that is there, excluded the event's. */
static void put_rule(struct buf *out, const struct column *c)
{
	switch (c->merge) {
	case MERGE_KEEP:
		conflict_put_column(out, "t", c);
		break;
	case MERGE_REPLACE:
		conflict_put_column(out, "excluded", c);
		break;
	case MERGE_COALESCE:
		buf_puts(out, "coalesce(");
		conflict_put_column(out, "excluded", c);
		buf_puts(out, ", ");
		conflict_put_column(out, "t", c);
		buf_puts(out, ")");
		break;
	case MERGE_ADD:
		put_pair(out, c, "coalesce(", " + ", "");
		put_pair(out, c, ", ", ", ", ")");
		break;
	case MERGE_MIN:
		put_pair(out, c, "least(", ", ", ")");
		break;
	case MERGE_MAX:
		put_pair(out, c, "greatest(", ", ", ")");
		break;
	case MERGE_JSON:
		put_pair(out, c, "coalesce(nullif(", ", 'null') || nullif(", ", 'null'), nullif(");
		conflict_put_column(out, "excluded", c);
		buf_puts(out, ", 'null'), ");
		conflict_put_column(out, "t", c);
		buf_puts(out, ")");
		break;
	}
}

/* The value that a column of an existing row gets. */
static void put_new_value(struct buf *out, const struct conflict *m, const struct column *c)
{
	if (c == m->version) {
		if (m->accumulates)
			put_pair(out, c, "greatest(", ", ", ")");
		else
			conflict_put_column(out, "excluded", c);
	} else if (!m->version || !m->accumulates || rule_accumulates(c->merge)) {
		put_rule(out, c);
	} else {
		buf_puts(out, "CASE WHEN ");
		put_fresh(out, m);
		buf_puts(out, " THEN ");
		put_rule(out, c);
		buf_puts(out, " ELSE ");
		conflict_put_column(out, "t", c);
		buf_puts(out, " END");
	}
}

/*
 * A column that DO UPDATE sets. The version column always follows the events, whatever its rule
 * says.
 */
static bool is_set(const struct conflict *m, size_t i)
{
	const struct column *c = &m->table->columns[i];
	return i >= m->table->nkeys && (c->merge != MERGE_KEEP || c == m->version);
}

static size_t count_set(const struct conflict *m)
{
	size_t n = 0;
	for (size_t i = 0; i < m->table->ncolumns; i++)
		n += is_set(m, i);
	return n;
}

/*
 * A row whose vector changes, or what a search filters by, is new to the search; of other changes
 * its segments need not know.
 */
static void put_search_xid(struct buf *out, const struct conflict *m)
{
	const char *before = ", \"search_xid\" = CASE WHEN ";
	for (size_t column = 0; column < m->table->ncolumns; column++) {
		if (!is_set(m, column) || !table_is_searched(m->table, column))
			continue;
		buf_puts(out, before);
		conflict_put_column(out, "t", &m->table->columns[column]);
		buf_puts(out, " IS DISTINCT FROM ");
		put_new_value(out, m, &m->table->columns[column]);
		before = " OR ";
	}
	if (before[0] == ' ')
		buf_puts(out, " THEN pg_current_xact_id() ELSE t.\"search_xid\" END");
}

/* Our updated_at too, unless the schema has a column of that name. */
void conflict_put_set(struct buf *out, const struct conflict *m)
{
	const char *comma = "";
	for (size_t i = 0; i < m->table->ncolumns; i++) {
		if (!is_set(m, i))
			continue;
		buf_puts(out, comma);
		buf_quoted(out, m->table->columns[i].name, '"');
		buf_puts(out, " = ");
		put_new_value(out, m, &m->table->columns[i]);
		comma = ", ";
	}
	if (!sqlname_has_column(m->table, "updated_at"))
		buf_puts(out, ", \"updated_at\" = now()");
	if (m->table->nsearches > 0)
		put_search_xid(out, m);
}

/*
 * ROW(...) of the columns that are set, but for the version. The cast, to record or to text, keeps
 * the parser from comparing column by column.
 */
static void put_row(struct buf *out, const struct conflict *m, bool after)
{
	const char *comma = "";
	buf_puts(out, "ROW(");
	for (size_t i = 0; i < m->table->ncolumns; i++) {
		const struct column *c = &m->table->columns[i];
		if (!is_set(m, i) || c == m->version)
			continue;
		buf_puts(out, comma);
		if (after)
			put_new_value(out, m, c);
		else
			conflict_put_column(out, "t", c);
		comma = ", ";
	}
	buf_puts(out, m->as_text ? ")::text" : ")::record");
}

/* True if writing would change the row. */
static void put_changed(struct buf *out, const struct conflict *m)
{
	bool more = count_set(m) > (m->version ? 1 : 0);
	if (m->version) {
		buf_puts(out, "(");
		conflict_put_column(out, "t", m->version);
		buf_puts(out, " IS DISTINCT FROM ");
		put_new_value(out, m, m->version);
		buf_puts(out, more ? " OR " : ")");
	}
	if (more) {
		put_row(out, m, false);
		buf_puts(out, m->as_text ? " IS DISTINCT FROM " : " OPERATOR(pg_catalog.*<>) ");
		put_row(out, m, true);
		buf_puts(out, m->version ? ")" : "");
	}
}

bool conflict_sets(const struct conflict *m, size_t i)
{
	return conflict_updates(m) && is_set(m, i);
}

bool conflict_updates(const struct conflict *m)
{
	return m->on_conflict != CONFLICT_SKIP && count_set(m) > 0;
}

/* An update that would change nothing must not write. */
void conflict_put_where(struct buf *out, const struct conflict *m)
{
	if (m->version && !m->accumulates) {
		put_fresh(out, m);
		buf_puts(out, " AND ");
	}
	put_changed(out, m);
}
