/* check_event.h - "memingest check --event": what would this event become? */
#pragma once

#include "cli/cli.h"

/*
 * Prints what each event of the file (JSON lines, one JSON object over several lines, an Avro
 * container; "-": standard input) becomes in the table of that stream (NULL: the only one). Needs
 * config and schema files, and no server. 65 if any would not land.
 */
int check_event(struct cli *cli, const char *path, const char *stream);
