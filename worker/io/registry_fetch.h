/* registry_fetch.h - one writer schema by id or GUID, and what it references; for registry.c. */
#pragma once

#include "io/registry.h"
#include "io/registry_client.h"

/* The registry's error code for "there is no schema of this id". */
enum { REGISTRY_CODE_NO_SUBJECT = 40401, REGISTRY_CODE_NO_SCHEMA = 40403 };

/* Waits. FOUND with a new schema; otherwise err says why. */
enum registry_answer registry_fetch(struct registry_client *client, const struct schema_id *id,
				    struct schema **schema, struct err *err);
