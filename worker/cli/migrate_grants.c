/*
 * migrate_grants.c - the least rights of the roles that use what "migrate" makes, as SQL.
 *
 *   worker      writes the tables and its own bookkeeping, and keeps the segments of searches
 *   searcher    reads the tables and calls their search functions
 *
 * Not here: what a role lacks (cmd_check.c). Both go by the lists of catalog.c.
 *
 * Pure text: asks no server, so it may be printed before there is a database.
 */
#include "cli/catalog.h"
#include "cli/migration.h"
#include "core/ddl.h"
#include "core/searchsql.h"
#include "core/sqlname.h"

extern const char sql_grant_schema[]; /* worker/sql */

/* A role's name as an identifier and as a literal, and where its grants go. */
struct grantee {
	struct buf ident, literal;
	struct buf *out;
};

static void begin(struct grantee *g, const char *role, struct buf *out)
{
	*g = (struct grantee){.out = out};
	pg_quote_ident(&g->ident, role);
	pg_quote_literal(&g->literal, role);
}

static void end(struct grantee *g)
{
	buf_free(&g->ident);
	buf_free(&g->literal);
}

/* The database has its name in the server only. */
static void grant_database(struct grantee *g, const char *rights)
{
	buf_printf(g->out,
		   "DO $$BEGIN EXECUTE format('GRANT %s ON DATABASE %%I TO %%I', "
		   "current_database(), %s); END$$;\n",
		   rights, buf_cstr(&g->literal));
}

static void grant_books(struct grantee *g, const struct catalog_rights *books, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_puts(g->out, "GRANT ");
		for (size_t k = 0; books[i].rights[k]; k++)
			buf_printf(g->out, "%s%s", k ? ", " : "", books[i].rights[k]);
		buf_printf(g->out, " ON %s TO %s;\n", books[i].table, buf_cstr(&g->ident));
	}
}

static void fill_role(struct grantee *g, const char *text)
{
	const struct sqlname_word words[] = {{"role", buf_cstr(&g->ident)},
					     {"role_literal", buf_cstr(&g->literal)}};
	sqlname_fill(g->out, text, words, ARRAY_LEN(words));
}

/* Where a table without a schema of its own lies, and its types, only the server knows. */
static void grant_table(struct grantee *g, const struct table *t, const char *rights,
			const char *role)
{
	struct buf name = {0}, literal = {0};
	sqlname_table(t, &name);
	pg_quote_literal(&literal, buf_cstr(&name));
	const struct sqlname_word words[] = {{"table_literal", buf_cstr(&literal)},
					     {"role_literal", buf_cstr(&g->literal)}};
	sqlname_fill(g->out, sql_grant_schema, words, ARRAY_LEN(words));
	ddl_grants(t, rights, role, g->out);
	buf_free(&name);
	buf_free(&literal);
}

static bool is_searched(struct stream *const *streams, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (streams[i]->table->nsearches > 0)
			return true;
	return false;
}

void migration_worker_grants(struct stream *const *streams, size_t n, const char *role,
			     struct buf *out)
{
	struct grantee g;
	bool searched = is_searched(streams, n);
	begin(&g, role, out);
	grant_database(&g, "CONNECT, TEMPORARY");
	buf_printf(out, "GRANT USAGE%s ON SCHEMA memingest TO %s;\n", searched ? ", CREATE" : "",
		   buf_cstr(&g.ident));
	grant_books(&g, catalog_bookkeeping, ARRAY_LEN(catalog_bookkeeping));
	/* for the gateway, which is asked whether an event is stored; not what they hold */
	buf_printf(out,
		   "GRANT SELECT (pipeline, topic, partition, \"offset\", reason, detail) ON "
		   "memingest.dead_letters TO %s;\n",
		   buf_cstr(&g.ident));
	if (searched)
		grant_books(&g, catalog_search_books, ARRAY_LEN(catalog_search_books));
	if (stream_any_embeds(streams, n))
		grant_books(&g, catalog_embed_books, ARRAY_LEN(catalog_embed_books));
	for (size_t i = 0; i < n; i++) {
		grant_table(&g, streams[i]->table, "SELECT, INSERT, UPDATE, DELETE", role);
		for (size_t k = 0; k < streams[i]->table->nsearches; k++)
			fill_role(&g, streams[i]->searches[k]->owner);
	}
	end(&g);
}

bool migration_searcher_grants(struct stream *const *streams, size_t n, const char *role,
			       struct buf *out)
{
	struct grantee g;
	if (!is_searched(streams, n))
		return false;
	begin(&g, role, out);
	grant_database(&g, "CONNECT");
	buf_printf(out,
		   "GRANT USAGE ON SCHEMA memingest TO %s;\n"
		   "GRANT SELECT ON memingest.searches, memingest.segments TO %s;\n",
		   buf_cstr(&g.ident), buf_cstr(&g.ident));
	for (size_t i = 0; i < n; i++) {
		if (streams[i]->table->nsearches == 0)
			continue;
		grant_table(&g, streams[i]->table, "SELECT", role);
		for (size_t k = 0; k < streams[i]->table->nsearches; k++)
			fill_role(&g, streams[i]->searches[k]->searcher);
		if (streams[i]->front)
			fill_role(&g, streams[i]->front->searcher);
	}
	end(&g);
	return true;
}
