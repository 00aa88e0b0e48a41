/* database.h - which database the config names, and what commands do on each. */
#pragma once

#include "cli/cli.h"
#include "cli/report.h"
#include "core/stream.h"
#include "sqlite/asker.h"
#include "write/store.h"

/* PostgreSQL, or a SQLite file. */
const struct store_class *database_store(const struct config *config);

/* "migrate" and "check --online" on a SQLite file; streams that are NULL are left out. */
int sqlite_migrate(struct cli *cli, struct stream *const *streams, struct err *err);
/* Offline: whether the extension that "search" would load is there. */
void sqlite_check_extension(const struct config *config, struct report *report);
/* True: the file is open, for the caller to ask on and to close. */
bool sqlite_check(const struct config *config, struct stream *const *streams, struct asker *asker,
		  struct report *report);
