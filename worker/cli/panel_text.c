/*
 * panel_text.c - what the tables of panel.c are put together of: lines cut at the width, numbers
 * for people, and looks into the workers' documents.
 *
 * All texts come from a server: what could steer a terminal is replaced. What a document does not
 * have is -1 or "". Nothing here knows what a table shows. Pure functions but for the panel's own
 * buffers; one thread, the command's. No failure.
 */
#include <stdio.h>
#include <string.h>

#include "cli/panel_parts.h"
#include "cli/wrap.h"

/* --- lines --- */

/* Cuts at the width, counted in characters; colors are not counted. */
void panel_end_line(struct panel *f, enum tone tone)
{
	static const char *const codes[] = {[PLAIN] = NULL,
					    [HEAD] = "\033[1m",
					    [GOOD] = "\033[32m",
					    [WARN] = "\033[33m",
					    [BAD] = "\033[31m"};
	const char *code = f->style->color ? codes[tone] : NULL;
	const char *s = buf_cstr(&f->line), *begin = s;
	size_t len = f->line.len;
	while (len > 0 && s[len - 1] == ' ')
		len--;
	buf_puts(f->out, code ? code : "");
	for (int width = 0;
	     (size_t)(s - begin) < len && (f->style->width == 0 || width < f->style->width);
	     width++)
		s += wrap_character(f->out, s);
	buf_puts(f->out, code ? "\033[0m\n" : "\n");
	f->line.len = 0;
	f->lines++;
}

void panel_heading(struct panel *f, const char *text)
{
	panel_end_line(f, PLAIN);
	buf_puts(&f->line, text);
	panel_end_line(f, HEAD);
}

/* --- numbers for people --- */

/* At most five characters. */
struct cell panel_count_cell(double n)
{
	static const char units[] = " kMGT";
	struct cell c;
	size_t unit = 0;
	if (n < 0)
		return (struct cell){"-"};
	if (n < 100000) {
		snprintf(c.text, sizeof(c.text), n < 10 && n != (double)(int)n ? "%.1f" : "%.0f",
			 n);
		return c;
	}
	while (n >= 1000 && unit + 2 < sizeof(units)) {
		n /= 1000;
		unit++;
	}
	snprintf(c.text, sizeof(c.text), n < 100 ? "%.1f%c" : "%.0f%c", n, units[unit]);
	return c;
}

struct cell panel_time_cell(double s)
{
	struct cell c;
	if (s < 0)
		return (struct cell){"-"};
	if (s < 10)
		snprintf(c.text, sizeof(c.text), "%.1fs", s);
	else if (s < 120)
		snprintf(c.text, sizeof(c.text), "%.0fs", s);
	else if (s < 7200)
		snprintf(c.text, sizeof(c.text), "%dm%02d", (int)s / 60, (int)s % 60);
	else if (s < 172800)
		snprintf(c.text, sizeof(c.text), "%dh%02d", (int)s / 3600, (int)s % 3600 / 60);
	else
		snprintf(c.text, sizeof(c.text), "%.0fd", s / 86400);
	return c;
}

struct cell panel_share_cell(double share)
{
	struct cell c = {"-"};
	if (share >= 0)
		snprintf(c.text, sizeof(c.text), "%.0f%%", share * 100);
	return c;
}

/* --- the documents --- */

double panel_number(const json_t *object, const char *member)
{
	const json_t *value = json_object_get(object, member);
	return json_is_number(value) ? json_number_value(value) : -1;
}

const char *panel_text(const json_t *object, const char *member)
{
	const char *value = json_string_value(json_object_get(object, member));
	return value ? value : "";
}

const json_t *panel_list(const json_t *object, const char *member)
{
	return json_object_get(object, member);
}

/* Seconds between the two looks at one process; 0: there are none. */
static double elapsed(const struct fleet_worker *w)
{
	if (!w->now || !w->before ||
	    panel_number(w->now, "started") != panel_number(w->before, "started"))
		return 0;
	return panel_number(w->now, "time") - panel_number(w->before, "time");
}

/* How fast the member of an object grows; -1 unknown. */
double panel_rate(const struct fleet_worker *w, const json_t *now, const json_t *before,
		  const char *member)
{
	double seconds = elapsed(w);
	if (seconds <= 0 || !now || !before)
		return -1;
	double to = panel_number(now, member), from = panel_number(before, member);
	return from < 0 || to < from ? -1 : (to - from) / seconds;
}

/* By name: workers may have different streams. */
const json_t *panel_find_stream(const json_t *document, const char *name)
{
	size_t i;
	json_t *stream;
	json_array_foreach (json_object_get(document, "streams"), i, stream) {
		if (strcmp(panel_text(stream, "stream"), name) == 0)
			return stream;
	}
	return NULL;
}

/* Unknown is not added; a sum of unknowns is unknown. */
void panel_add(double *sum, double n)
{
	if (n >= 0)
		*sum = *sum < 0 ? n : *sum + n;
}
