/* envelope.h - which ids stand in front of what is sent to a stream's topic. */
#pragma once

#include "core/message.h"

/* The stream's first topic that is a name, no pattern; NULL: there is none. */
const char *envelope_topic(const struct stream *s);

/*
 * In the Confluent format both schemas are looked for under "TOPIC-value" and "TOPIC-key"; with
 * registers, what the registry lacks is registered there, as other producers do, and is_new is
 * called with its subject and id (NULL: nobody is told). It waits. False with class CONFIG or
 * RETRY.
 */
MUST_CHECK bool envelope_find(struct envelope *e, const struct config *config,
			      const struct stream *s, const char *topic, bool registers,
			      void (*is_new)(const char *subject, uint32_t id), struct err *err);
