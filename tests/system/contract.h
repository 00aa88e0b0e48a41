/*
 * contract.h - docs/openapi.yaml held against what the gateway answers in the tests: both ways.
 */
#pragma once

#include "base/base.h"

/*
 * One answer to a request of that target, head and body: fails the test if the file does not have
 * it at that path, and remembers it for contract_unseen().
 */
void contract_heard(const char *target, unsigned status, const char *answer);

/*
 * The answers of the file that no test of this stack has heard, a line each: "" if there is none.
 * The caller frees it.
 */
char *contract_unseen(void);
