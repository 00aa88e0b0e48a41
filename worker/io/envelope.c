/*
 * envelope.c - which ids stand in front of what is sent to a stream's topic.
 *
 *   confluent       asked of the registry, under the subjects that other producers use
 *   single-object   the schemas' fingerprints
 *   raw             none
 *
 * Thread: any that may wait for a registry. Failure: its class is the registry's.
 */
#include "io/envelope.h"

#include <jansson.h>
#include <stdlib.h>

#include "io/registry.h"

const char *envelope_topic(const struct stream *s)
{
	for (size_t i = 0; i < s->config->ntopics; i++)
		if (s->config->topics[i][0] != '^')
			return s->config->topics[i];
	return NULL;
}

struct asked {
	const struct config *config;
	const char *topic;
	bool registers;
	void (*is_new)(const char *subject, uint32_t id);
};

/* what: "value" or "key" */
static bool ask(const struct asked *a, const struct schema *schema, const char *what, uint64_t *id,
		struct err *err)
{
	uint32_t found = 0;
	bool is_new = false;
	if (a->config->nregistry_urls == 0)
		return err_set(err, ERR_CONFIG,
			       "format confluent needs a schema registry: set registry.url");
	char *subject = xasprintf("%s-%s", a->topic, what);
	char *text = json_dumps(schema->json, JSON_COMPACT | JSON_ENCODE_ANY);
	bool ok =
		registry_find(a->config, subject, text, a->registers ? &is_new : NULL, &found, err);
	*id = found;
	if (ok && is_new && a->is_new)
		a->is_new(subject, found);
	free(text);
	free(subject);
	return ok;
}

bool envelope_find(struct envelope *e, const struct config *config, const struct stream *s,
		   const char *topic, bool registers,
		   void (*is_new)(const char *subject, uint32_t id), struct err *err)
{
	const struct asked a = {config, topic, registers, is_new};
	*e = (struct envelope){.format = s->config->format};
	switch (s->config->format) {
	case FRAME_CONFLUENT:
		return ask(&a, s->reader, "value", &e->value, err) &&
		       (!s->key_reader || ask(&a, s->key_reader, "key", &e->key, err));
	case FRAME_SINGLE_OBJECT:
		e->value = schema_fingerprint(s->reader);
		e->key = s->key_reader ? schema_fingerprint(s->key_reader) : 0;
		return true;
	case FRAME_RAW:
		return true;
	}
	return true;
}
