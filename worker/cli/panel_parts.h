/* panel_parts.h - what the files of a panel share: panel.c (the tables), panel_text.c. */
#pragma once

#include "cli/panel.h"

enum tone { PLAIN, HEAD, GOOD, WARN, BAD };

struct panel {
	const struct fleet *fleet;
	const struct panel_style *style;
	struct buf *out;
	struct buf line; /* being put together */
	int lines;
};

/* Ends the line that was put together: cut at the width, counted in characters, in that tone. */
void panel_end_line(struct panel *f, enum tone tone);
void panel_heading(struct panel *f, const char *text); /* behind an empty line */

struct cell {
	char text[24];
};

/* "1234", "12.3M", at most five characters; "4.2s", "3m05"; "17%". Unknown (-1) is "-". */
struct cell panel_count_cell(double n);
struct cell panel_time_cell(double seconds);
struct cell panel_share_cell(double share);

/* A member of an object: -1, "" or NULL where there is none. */
double panel_number(const json_t *object, const char *member);
const char *panel_text(const json_t *object, const char *member);
const json_t *panel_list(const json_t *object, const char *member);
const json_t *panel_find_stream(const json_t *document, const char *name); /* by its name */

/* How fast the member grows from one look to the next, a second; -1 unknown. */
double panel_rate(const struct fleet_worker *w, const json_t *now, const json_t *before,
		  const char *member);
void panel_add(double *sum, double n); /* unknown is not added; a sum of unknowns is unknown */
