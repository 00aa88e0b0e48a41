/*
 * pipeline.h - the worker: everything wired together, run until SIGTERM.
 */
#ifndef MEMINGEST_PIPELINE_H
#define MEMINGEST_PIPELINE_H

#include "core/config.h"

/*
 * Runs until it is told to stop or can not go on; returns the process's exit code (enum exit_code).
 */
int pipeline_run(const struct config *config);

#endif
