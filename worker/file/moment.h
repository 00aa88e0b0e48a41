/*
 * moment.h - dates, times of day and timestamps as people and programs write them, in the units of
 * Avro's logical types: exactly, or not at all.
 */
#pragma once

#include "base/base.h"
#include "schema/schema.h"

/*
 * date         2026-01-31
 * time         12:30:00, 12:30:00.125
 * timestamp    a date, "T" or a blank, a time, and then Z, +01:00, +0100, +01, or nothing, which
 *              means UTC
 * local        the same without a zone
 *
 * Returns NULL, or what is wrong with the text: "there is no such day in that month".
 */
const char *moment_parse(enum schema_logical logical, const char *text, size_t len, int64_t *v);

/* Is it one of the logical types above? */
bool moment_is(enum schema_logical logical);

/* Units of a whole day, of a time of day; 0 for other types. */
int64_t moment_day(enum schema_logical logical);
