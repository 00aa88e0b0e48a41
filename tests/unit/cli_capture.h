/*
 * cli_capture.h - the command line run within the test, and what it printed.
 */
#pragma once

#include "cli/cli.h"

extern char captured_out[262144], captured_errors[16384];

/* cli_main() with these arguments (the last one NULL); returns its exit code. */
int capture_cli(const struct command *const *commands, const char *const *args);
