/*
 * report.c - collects what a command found out, so that a person sees every finding at once and not
 * the first alone.
 *
 *   ok     postgres       PostgreSQL 16.14, synchronous_commit = on
 *   warn   stream.memory  no key schema: messages without value become dead letters
 *   error  stream.memory  column embedding is vector(512) in the table, vector(384) in the schema
 *
 * The JSON form: {"ok": false, "errors": 1, "warnings": 1, "findings": [{"level": ..., "area": ...,
 * "text": ...}, ...]}.
 */
#include "cli/report.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static const char *const level_names[] = {
	[REPORT_OK] = "ok", [REPORT_WARN] = "warn", [REPORT_ERROR] = "error"};

static void add(struct report *r, enum report_level level, const char *area, char *text)
{
	r->lines = xrealloc(r->lines, (r->n + 1) * sizeof(*r->lines));
	r->lines[r->n++] =
		(struct report_line){.level = level, .area = xstrdup(area), .text = text};
	r->counts[level]++;
}

/* Cut at a kilobyte: a finding is a line. */
void report_add(struct report *r, enum report_level level, const char *area, const char *fmt, ...)
{
	char text[1024];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	add(r, level, area, xstrdup(text));
}

void report_err(struct report *r, const char *area, const struct err *err)
{
	report_add(r, REPORT_ERROR, area, "%s", err->text);
	r->unavailable += err->class == ERR_RETRY;
}

/* A line without an area in front has none. */
void report_lines(struct report *r, enum report_level level, const char *text)
{
	while (*text) {
		char area[64];
		int len = (int)strcspn(text, "\n"), area_len = (int)strcspn(text, ": \n");
		if (len > 0) {
			bool named = strncmp(text + area_len, ": ", 2) == 0;
			snprintf(area, sizeof(area), "%.*s", named ? area_len : 0, text);
			int skip = named ? area_len + 2 : 0;
			report_add(r, level, area, "%.*s", len - skip, text + skip);
		}
		text += len + (text[len] == '\n');
	}
}

/* --- output --- */

static void print_json(const struct report *r)
{
	json_t *findings = json_array();
	for (size_t i = 0; i < r->n; i++)
		json_array_append_new(findings,
				      json_pack("{s:s, s:s, s:s}", "level",
						level_names[r->lines[i].level], "area",
						r->lines[i].area, "text", r->lines[i].text));
	json_t *all = json_pack("{s:b, s:I, s:I, s:o}", "ok", r->counts[REPORT_ERROR] == 0,
				"errors", (json_int_t)r->counts[REPORT_ERROR], "warnings",
				(json_int_t)r->counts[REPORT_WARN], "findings", findings);
	json_dumpf(all, stdout, JSON_INDENT(2));
	puts("");
	json_decref(all);
}

static void print_line(const struct report_line *line, int width, bool color)
{
	static const char *const colors[] = {
		[REPORT_OK] = "\033[32m", [REPORT_WARN] = "\033[33m", [REPORT_ERROR] = "\033[31m"};
	printf("%s%-5s%s  %-*s  %s\n", color ? colors[line->level] : "", level_names[line->level],
	       color ? "\033[0m" : "", width, line->area, line->text);
}

void report_print(const struct report *r, const struct cli *cli)
{
	if (cli->json) {
		print_json(r);
		return;
	}
	size_t width = 0;
	for (size_t i = 0; i < r->n; i++)
		width = MAX(width, strlen(r->lines[i].area));
	for (size_t i = 0; i < r->n; i++)
		print_line(&r->lines[i], (int)width, cli->color);
	if (r->counts[REPORT_ERROR] + r->counts[REPORT_WARN] == 0)
		puts("nothing to complain about");
	else
		printf("%zu error%s, %zu warning%s\n", r->counts[REPORT_ERROR],
		       r->counts[REPORT_ERROR] == 1 ? "" : "s", r->counts[REPORT_WARN],
		       r->counts[REPORT_WARN] == 1 ? "" : "s");
}

int report_exit_code(const struct report *r)
{
	if (r->counts[REPORT_ERROR] == 0)
		return EXIT_OK;
	return r->unavailable == r->counts[REPORT_ERROR] ? EXIT_UNAVAILABLE : EXIT_CONFIG;
}

void report_free(struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->lines[i].area);
		free(r->lines[i].text);
	}
	free(r->lines);
	*r = (struct report){0};
}

int report_err_exit_code(const struct err *err)
{
	switch (err->class) {
	case ERR_NONE:
		return EXIT_OK;
	case ERR_RETRY:
		return EXIT_UNAVAILABLE;
	case ERR_POISON:
		return EXIT_DATA;
	case ERR_CONFIG:
		return EXIT_CONFIG;
	case ERR_FATAL:
		return EXIT_INTERNAL;
	}
	return EXIT_INTERNAL;
}
