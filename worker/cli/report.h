/*
 * report.h - findings of a command: collected first, then shown all at once, as lines for people or
 * as one JSON object.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "cli/cli.h"

enum report_level { REPORT_OK, REPORT_WARN, REPORT_ERROR };

struct report {
	struct report_line {
		enum report_level level;
		char *area; /* what it is about: "postgres", "stream.memory" */
		char *text;
	} * lines;
	size_t n;
	size_t counts[REPORT_ERROR + 1]; /* by level */
	/* of the errors, those that say that a server is out of reach */
	size_t unavailable;
};

/* One finding, as for printf. */
void report_add(struct report *r, enum report_level level, const char *area, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* An error value: class RETRY counts as "out of reach". */
void report_err(struct report *r, const char *area, const struct err *err);
/* Text of several lines, one finding each: "area: text". */
void report_lines(struct report *r, enum report_level level, const char *text);

/* To standard output: as cli says, JSON or lines, with color on a terminal. */
void report_print(const struct report *r, const struct cli *cli);
/* 78 if an operator must change anything, 69 if only servers were out of reach, else 0. */
int report_exit_code(const struct report *r);
void report_free(struct report *r); /* may be used again */

/* The exit code for a failure: 78, 69, 65 or 70 by its class. */
int report_err_exit_code(const struct err *err);
