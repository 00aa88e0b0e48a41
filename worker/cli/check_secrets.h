/*
 * check_secrets.h - files with secrets, and who else can read them.
 */
#pragma once

#include "cli/report.h"
#include "core/config.h"

/* A warning for each file of a secret that every user of this machine can read. */
void check_secrets(const struct config *config, struct report *report);
