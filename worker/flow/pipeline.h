/*
 * pipeline.h - the worker: everything wired together, run until SIGTERM.
 */
#pragma once

#include "core/config.h"

/*
 * Runs until it is told to stop or can not go on; returns the process's exit code (enum exit_code).
 */
int pipeline_run(const struct config *config);
