/* pipeline.h - the worker: everything wired together, run until SIGTERM. */
#pragma once

#include "core/config.h"

/* Runs until it is told to stop or cannot go on; returns the process's exit code. */
int pipeline_run(const struct config *config);
