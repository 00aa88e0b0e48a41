/* pipeline.h - the worker: everything wired together, run until SIGTERM or the end. */
#pragma once

#include "core/config.h"
#include "io/origin.h"
#include "write/store.h"

/*
 * Runs until it is told to stop, cannot go on, or all of a finite origin is durable; returns the
 * process's exit code. Of a finite one: EXIT_AGAIN when it was told to stop before, EXIT_CONFIG
 * when an operator must act.
 */
int pipeline_run(const struct config *config, const struct origin *origin,
		 const struct store_class *store);
