/*
 * registry_register.c - the registry asked once, and waited for: is it there, and here is a schema.
 *
 * For commands (check, produce), not for the worker: a client for each call, no cache, no thread.
 * Failure: RETRY when there was no answer, CONFIG when it was a no.
 */
#include <jansson.h>
#include <stdlib.h>

#include "io/http_client.h"
#include "io/registry.h"
#include "io/registry_client.h"
#include "io/registry_fetch.h"

/*
 * Asks for id 1 as the worker would: a schema, or "not found", says that address and credentials
 * are right.
 */
bool registry_ping(const struct config *config, struct err *err)
{
	struct registry_client *client = registry_client_new(config);
	struct registry_reply reply;
	bool ok = registry_client_ask(client, "/schemas/ids/1", NULL, &reply, err);
	if (ok) {
		if (reply.status != 200 && reply.code != REGISTRY_CODE_NO_SCHEMA)
			ok = err_set(err, ERR_RETRY, "the schema registry answered %ld, code %lld",
				     reply.status, (long long)reply.code);
		json_decref(reply.json);
	}
	registry_client_free(client);
	return ok;
}

static bool read_registered(const struct registry_reply *reply, uint32_t *id, struct err *err)
{
	const char *message = json_string_value(json_object_get(reply->json, "message"));
	json_int_t value = json_integer_value(json_object_get(reply->json, "id"));
	if (reply->status != 200)
		return err_set(err, ERR_CONFIG,
			       "the schema registry refused the schema (%ld, code %lld): %s",
			       reply->status, (long long)reply->code,
			       message != NULL ? message : "");
	if (!json_is_integer(json_object_get(reply->json, "id")) || value < 0 || value > UINT32_MAX)
		return err_set(err, ERR_RETRY, "the schema registry's answer holds no id");
	*id = (uint32_t)value;
	return true;
}

bool registry_register(const struct config *config, const char *subject, const char *schema_json,
		       uint32_t *id, struct err *err)
{
	struct registry_client *client = registry_client_new(config);
	char *escaped = http_escape(subject);
	char *path = xasprintf("/subjects/%s/versions", escaped);
	json_t *body = json_pack("{s:s}", "schema", schema_json);
	char *post = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	struct registry_reply reply = {0};
	bool ok = post != NULL ? registry_client_ask(client, path, post, &reply, err)
			       : err_set(err, ERR_CONFIG, "the schema is not UTF-8");
	if (ok) {
		ok = read_registered(&reply, id, err);
		json_decref(reply.json);
	}
	if (!ok)
		err_wrap(err, "subject \"%s\"", subject);
	free(post);
	json_decref(body);
	free(path);
	free(escaped);
	registry_client_free(client);
	return ok;
}

const char *registry_library_version(void)
{
	return http_client_version();
}
