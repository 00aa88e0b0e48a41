/* search.h - what the files of "memingest search" share: cmd_search.c, search_sql.c. */
#pragma once

#include "base/buf.h"
#include "cli/cli.h"
#include "core/stream.h"

enum { SEARCH_MOST_FILTERS = 16 };

struct search {
	struct cli *cli;
	struct stream *stream;
	bool asks_live; /* which column, is to be asked */
	size_t index;   /* of the column that is searched, into the table's searches */
	const char *text, *vector_path; /* one of them */
	long k;
	struct wanted {
		const struct column *column;
		const char *value;
	} filters[SEARCH_MOST_FILTERS];
	size_t nfilters;
	struct buf vector; /* as SQL: [0.1,0.2] */
};

/* The column that is searched, an index into the table's. */
static inline size_t search_column(const struct search *s)
{
	return s->stream->table->searches[s->index].vector;
}

/* In a file, by sqlite-vec's function, which is none for the inner product. */
static inline bool search_by_vec(const struct search *s)
{
	return s->cli->config->sqlite_path && s->cli->config->sqlite_vec_extension &&
	       s->stream->table->searches[s->index].distance != SEARCH_IP;
}

/*
 * The question as SQL, new. $1 is the vector, $2 the number of rows, $3 and so on are the filters'
 * values. Columns of the answer: distance, and for programs a document, for people key and text.
 */
char *search_sql_pg(const struct search *s);
char *search_sql_file(const struct search *s); /* SQLite's */
