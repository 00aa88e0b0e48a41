/* store.h - a lane's store in a SQLite file. Only one lane can have it: core/config.h sees to that.
 */
#pragma once

#include "write/store.h"

extern const struct store_class store_sqlite;

/* Of SQLite at run time, "3.40.1". */
const char *sqlite_library_version(void);

/*
 * Forgets how far the topic was loaded: its offsets, batches, and dead letters unless they are to
 * be kept. For "load", before it begins; a load that is under way is fenced.
 */
MUST_CHECK bool sqlite_forget(const struct config *config, const char *topic, bool keep_dead,
			      struct err *err);
