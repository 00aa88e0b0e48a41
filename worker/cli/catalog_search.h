/*
 * catalog_search.h - what PostgreSQL has of a table's search by nearness: for migrate, which makes
 * it, and check, which reports what is not there.
 */
#pragma once

#include "base/err.h"
#include "cli/report.h"
#include "core/config.h"
#include "core/searchsql.h"
#include "io/pg.h"

struct catalog_search {
	bool column;  /* search_xid of the table */
	bool small;   /* the table: an index takes a second or two */
	bool index;   /* on search_xid, perhaps not valid */
	bool row;     /* in memingest.searches */
	bool foreign; /* which is of another cluster */
	/* there is one, perhaps made from another annotation or by another version */
	bool segments, functions;
	bool same_segments, same_functions;
	bool types, same_types; /* of the functions */
	bool apart;             /* functions of the time when other columns were searched as well */
};

/* books: there is memingest.searches, and this role may read it. */
MUST_CHECK bool catalog_search_read(struct pg *pg, const struct searchsql *s, bool books,
				    struct catalog_search *found, struct err *err);

/*
 * What keeps searches from being made and kept, as findings: of the server (false if there is no
 * looking at streams), and of one stream.
 */
bool catalog_search_check_server(struct pg *pg, const struct config *config, struct report *r);
void catalog_search_check(struct pg *pg, const struct config *config, const struct searchsql *s,
			  const char *area, struct report *r);
/* Of the functions that go to one of several columns. */
void catalog_search_check_front(struct pg *pg, const struct searchsql *s, const char *area,
				struct report *r);
