/*
 * registry_fetch.c - one writer schema from the registry, whole: the answer read, its references
 * fetched and put in place, parsed.
 *
 *   GET /schemas/ids/7, or /schemas/guids/89791762-...
 *       {"schema": "..", "references": [{"name": "a.B", "subject": "b", "version": 2}]}
 *   GET /subjects/b/versions/2
 *       {"schema": "..", "references": [..]}      and so on, each name once
 *   schemaref_inline() -> schema_parse()
 *
 * The answer says what to do, err says why: PENDING (ask again: the registry gave no usable
 * answer), UNKNOWN (it has no such id), INVALID (it has, but not as an Avro schema that can be
 * read: another type, too large, a reference that it lacks, a parse error; or it knows no GUIDs).
 *
 * No state, nothing kept, nothing logged. Runs in the thread of the client. Bounds: REFERENCES_MAX
 * definitions, each an answer of bounded size.
 */
#include "io/registry_fetch.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/http_client.h"
#include "io/schemaref.h"
#include "schema/schema.h"

enum { REFERENCES_MAX = 64 };

static enum registry_answer unknown(const char *what, struct err *err)
{
	err_set(err, ERR_POISON, "%s is not in the schema registry", what);
	return REGISTRY_UNKNOWN;
}

/* What a reply about "what" means; err is filled for all but FOUND. */
static enum registry_answer read_answer(const struct registry_reply *reply, const char *what,
					struct err *err)
{
	const char *type = json_string_value(json_object_get(reply->json, "schemaType"));
	const char *message = json_string_value(json_object_get(reply->json, "message"));
	if (reply->too_large) {
		err_set(err, ERR_CONFIG, "%s: the answer is larger than 1 MiB", what);
		return REGISTRY_INVALID;
	}
	if (reply->status == 404)
		return unknown(what, err);
	if (reply->status != 200) {
		err_set(err, ERR_RETRY, "%s: the schema registry answered %ld, code %lld: %s", what,
			reply->status, (long long)reply->code, message != NULL ? message : "");
		return REGISTRY_PENDING;
	}
	if (!json_is_string(json_object_get(reply->json, "schema"))) {
		err_set(err, ERR_RETRY, "%s: the schema registry's answer holds no schema", what);
		return REGISTRY_PENDING;
	}
	if (type == NULL || strcmp(type, "AVRO") == 0)
		return REGISTRY_FOUND;
	err_set(err, ERR_CONFIG, "%s is of type %s; only AVRO can be read", what, type);
	return REGISTRY_INVALID;
}

/* A 404 says "unknown" whatever its code: that it lacks the path, the subject or the schema. */
static enum registry_answer ask(struct registry_client *client, const char *path, const char *what,
				json_t **json, struct err *err)
{
	struct registry_reply reply;
	*json = NULL;
	if (!registry_client_ask(client, path, NULL, &reply, err))
		return registry_client_missed(client) ? unknown(what, err) : REGISTRY_PENDING;
	enum registry_answer answer = read_answer(&reply, what, err);
	if (answer == REGISTRY_FOUND)
		*json = reply.json;
	else
		json_decref(reply.json);
	return answer;
}

/*
 * Fetches one reference's definition into defs, and puts what that references itself at the end of
 * todo.
 */
static enum registry_answer fetch_reference(struct registry_client *client, const json_t *ref,
					    json_t *defs, json_t *todo, struct err *err)
{
	const char *name = json_string_value(json_object_get(ref, "name"));
	const char *subject = json_string_value(json_object_get(ref, "subject"));
	json_int_t version = json_integer_value(json_object_get(ref, "version"));
	if (name == NULL || subject == NULL) {
		err_set(err, ERR_CONFIG, "a reference without name or subject");
		return REGISTRY_INVALID;
	}
	if (json_object_get(defs, name) != NULL)
		return REGISTRY_FOUND;
	char *escaped = http_escape(subject), *path, *what;
	path = xasprintf("/subjects/%s/versions/%lld", escaped, (long long)version);
	what = xasprintf("reference \"%s\" (subject \"%s\", version %lld)", name, subject,
			 (long long)version);
	json_t *json;
	enum registry_answer answer = ask(client, path, what, &json, err);
	if (answer == REGISTRY_FOUND) {
		json_t *def = json_loads(json_string_value(json_object_get(json, "schema")),
					 JSON_DECODE_ANY, NULL);
		json_object_set_new(defs, name, def != NULL ? def : json_null());
		json_array_extend(todo, json_object_get(json, "references"));
	}
	json_decref(json);
	free(what);
	free(path);
	free(escaped);
	return answer;
}

/* All that the schema references, directly and by way of others. */
static enum registry_answer fetch_references(struct registry_client *client, json_t *references,
					     json_t *defs, struct err *err)
{
	json_t *todo = json_copy(references);
	enum registry_answer answer = REGISTRY_FOUND;
	for (size_t i = 0; i < json_array_size(todo) && answer == REGISTRY_FOUND; i++) {
		if (json_object_size(defs) >= REFERENCES_MAX) {
			err_set(err, ERR_CONFIG, "more than %d references", REFERENCES_MAX);
			answer = REGISTRY_INVALID;
		} else {
			answer = fetch_reference(client, json_array_get(todo, i), defs, todo, err);
		}
	}
	json_decref(todo);
	return answer == REGISTRY_UNKNOWN ? REGISTRY_INVALID : answer;
}

/* The schema text with its references in place; the caller frees it. NULL unless FOUND. */
static char *complete(struct registry_client *client, const json_t *json,
		      enum registry_answer *answer, struct err *err)
{
	const char *text = json_string_value(json_object_get(json, "schema"));
	json_t *references = json_object_get(json, "references");
	*answer = REGISTRY_FOUND;
	if (json_array_size(references) == 0)
		return xstrdup(text);
	char *whole = NULL;
	json_t *defs = json_object();
	*answer = fetch_references(client, references, defs, err);
	json_t *schema = *answer == REGISTRY_FOUND ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	if (schema != NULL) {
		schema = schemaref_inline(schema, defs);
		char *dumped = json_dumps(schema, JSON_ENCODE_ANY | JSON_COMPACT);
		whole = dumped != NULL ? dumped : xstrdup("null");
	} else if (*answer == REGISTRY_FOUND) {
		whole = xstrdup(text); /* no JSON: the parser says where */
	}
	json_decref(schema);
	json_decref(defs);
	return whole;
}

/*
 * A registry that knows no GUIDs says 404 without a code of its own; one that has them says it with
 * a code, and a wrong proxy without one to whatever is asked. So it is asked for an id.
 */
static enum registry_answer ask_for_guid(struct registry_client *client, const char *path,
					 const char *what, json_t **json, struct err *err)
{
	struct err ignored;
	struct registry_reply reply;
	enum registry_answer answer = ask(client, path, what, json, err);
	if (answer != REGISTRY_UNKNOWN)
		return answer;
	bool by_itself = !registry_client_missed(client);
	err_set(err, ERR_POISON,
		"%s is not in the schema registry: is it the one of the producer, who puts GUIDs "
		"into headers?",
		what);
	if (by_itself)
		return answer;
	if (!registry_client_ask(client, "/schemas/ids/1", NULL, &reply, &ignored))
		return answer;
	json_decref(reply.json);
	err_set(err, ERR_CONFIG,
		"the schema registry knows no GUIDs (Confluent's does from 8.0 on): put the schema "
		"into registry.directory as GUID.avsc, or set the producer's %s to "
		"io.confluent.kafka.serializers.schema.id.PrefixSchemaIdSerializer",
		"key.schema.id.serializer and value.schema.id.serializer");
	return REGISTRY_INVALID;
}

static enum registry_answer ask_for(struct registry_client *client, const struct schema_id *id,
				    const char *what, json_t **json, struct err *err)
{
	char path[64], guid[SCHEMA_ID_TEXT];
	if (id->kind == SCHEMA_ID_GUID) {
		schema_id_guid(id, guid);
		snprintf(path, sizeof(path), "/schemas/guids/%s", guid);
		return ask_for_guid(client, path, what, json, err);
	}
	snprintf(path, sizeof(path), "/schemas/ids/%llu", (unsigned long long)id->number);
	return ask(client, path, what, json, err);
}

enum registry_answer registry_fetch(struct registry_client *client, const struct schema_id *id,
				    struct schema **schema, struct err *err)
{
	char what[64], name[SCHEMA_ID_TEXT];
	snprintf(what, sizeof(what), "schema %s", schema_id_text(id, name));
	json_t *json;
	enum registry_answer answer = ask_for(client, id, what, &json, err);
	if (answer != REGISTRY_FOUND)
		return answer;
	char *text = complete(client, json, &answer, err);
	if (text != NULL) {
		*schema = schema_parse(text, strlen(text), err);
		if (*schema == NULL)
			answer = REGISTRY_INVALID;
	}
	if (answer != REGISTRY_FOUND)
		err_wrap(err, "%s", what);
	free(text);
	json_decref(json);
	return answer;
}
