/* panel.h - what people see of a fleet: tables of text. */
#pragma once

#include "base/buf.h"
#include "cli/fleet.h"

struct panel_style {
	const char *title;
	int width;  /* lines are cut there; 0: not at all */
	int height; /* lines there is room for; 0: a short table as long as it takes */
	bool color;
	bool by_lag; /* partitions by how far they are behind; else those in trouble first */
};

/* What keeps a part of the fleet's work from being done. */
struct panel_troubles {
	size_t halted, waiting; /* partitions */
	size_t streams;         /* without a topic of theirs */
};

struct panel_troubles panel_count_troubles(const struct fleet *f);
bool panel_is_troubled(const struct panel_troubles *t); /* any of them */

/* Appends one frame. */
void panel_draw(const struct fleet *f, const struct panel_style *style, struct buf *out);
