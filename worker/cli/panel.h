/* panel.h - what people see of a fleet: tables of text. */
#pragma once

#include "base/buf.h"
#include "cli/fleet.h"

struct panel_style {
	const char *title;
	int width;  /* lines are cut there; 0: not at all */
	int height; /* lines there is room for; 0: a short table as long as it takes */
	bool color;
};

/* Appends one frame. */
void panel_draw(const struct fleet *f, const struct panel_style *style, struct buf *out);
