/*
 * searchlist.h - lists of columns, conditions and names of a searched table, in SQL. Each returns a
 * new text, which is the caller's. For core/searchsql.c.
 */
#pragma once

#include "base/buf.h"
#include "codec/table.h"

/* The column of a filter, which each search of the table has. */
const struct column *searchlist_filter(const struct table *t, size_t i);
/* prefix."a", prefix."b": the columns of the key; with their types if prefix is NULL. */
char *searchlist_keys(const struct table *t, const char *prefix);
/* a."k" = b."k" AND ... */
char *searchlist_same_key(const struct table *t, const char *a, const char *b);
/* Key and filters, as a segment has them: with types, or as t's columns. */
char *searchlist_segment_columns(const struct table *t, bool types);
/* All columns of the table: with types, or as t's. */
char *searchlist_table_columns(const struct table *t, bool types);
/* "want_user_id": the variable that has a filter's value. */
void searchlist_put_want(struct buf *out, const struct column *c);
/* , "user_id" text DEFAULT NULL */
char *searchlist_filter_parameters(const struct table *t);
/* , $3, $4: as parameters that are passed on */
char *searchlist_filter_numbers(const struct table *t);
/* want_user_id text := user_id; for each, and whether there is any */
char *searchlist_want_filters(const struct table *t);
/* AND (want_user_id IS NULL OR s.user_id = want_user_id), for each */
char *searchlist_matches(const struct table *t, const char *prefix);
/* How many rows of a segment a filter leaves: the count of a frequent value, else fewer than 1,000.
 */
char *searchlist_estimates(const struct table *t);
/* "before1after, before2after" for as many filters as there are */
char *searchlist_numbered(size_t n, const char *before, const char *after, const char *between);
/* WHEN sum(m.f1) THEN 1 ...: which filter leaves the fewest */
char *searchlist_sum_cases(size_t n);
/* sum(m.f1) FILTER (WHERE m.f1 >= 1000): what is known of a filter's value, and not assumed */
char *searchlist_frequent(size_t n);
/* memingest."prefix table suffix", quoted, short enough for 12 characters more. */
char *searchlist_object_name(const struct table *t, const char *prefix, const char *suffix);
/* The search's key in memingest.searches. */
char *searchlist_key_of(const struct table *t, const struct table_search *how);
/* Those of all searches of the table, as a list of literals. */
char *searchlist_keys_of(const struct table *t);
/* What stands behind the table's name in those of a column's functions and types. */
char *searchlist_by_column(const struct table *t, size_t index);
/* The parent of the search's segments. */
char *searchlist_name_of_segments(const struct table *t, const struct table_search *how);
/* (1, key, column, model), ... : what live_TABLE() chooses from */
char *searchlist_live_columns(const struct table *t);
/* WHEN 'column' THEN RETURN QUERY SELECT * FROM prefix_TABLE_by_column(arguments); for each */
char *searchlist_cases_of(const struct table *t, const char *prefix, const char *arguments);
