/*
 * registry.h - writer schemas by id, GUID or fingerprint: from a schema registry over HTTP, or from
 * a folder.
 *
 * registry_get() never waits. What is not cached is asked for by a thread of the registry's own;
 * registry_fd() turns readable when an answer has come, or the reason why it does not, and the
 * caller asks again. "Unknown" is believed after registry.unknown_wait and remembered for a minute,
 * a good answer for ever.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"
#include "schema/schema_id.h"

struct registry;
struct schema;

enum registry_answer {
	REGISTRY_FOUND,
	/*
	 * asked for, also again: come back after registry_fd(). err says of whom, and what is
	 * wrong; of class NONE as long as nothing is
	 */
	REGISTRY_PENDING,
	REGISTRY_UNKNOWN, /* the registry has no such schema */
	/* it has one, but no valid Avro schema, or cannot be asked for such an id: err says why */
	REGISTRY_INVALID,
};

/*
 * Borrows config; starts the thread when there is a URL. Loads every .avsc of the folder and of the
 * streams for fingerprints.
 */
struct registry *registry_new(const struct config *config, struct err *err);
void registry_free(struct registry *r); /* NULL is fine; schemas that were borrowed end with it */

/* id: not SCHEMA_ID_NONE. The schema is borrowed and lives as long as the registry. */
enum registry_answer registry_get(struct registry *r, const struct schema_id *id,
				  const struct schema **schema, struct err *err);
int registry_fd(const struct registry *r); /* readable when an answer has come */
void registry_ack(struct registry *r);     /* after registry_fd() was readable */

/* For "check --online" and "produce": these wait. */
MUST_CHECK bool registry_ping(const struct config *config, struct err *err);
/*
 * The id of a schema that is registered under a subject. If it is not: is_new NULL: false with
 * class CONFIG, else it is registered, and *is_new says so.
 */
MUST_CHECK bool registry_find(const struct config *config, const char *subject,
			      const char *schema_json, bool *is_new, uint32_t *id, struct err *err);

/* Of libcurl at run time, "7.88.1". */
const char *registry_library_version(void);
