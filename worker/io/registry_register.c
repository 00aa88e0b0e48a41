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

/* Of an answer that is not "there is none". */
static bool read_id(const struct registry_reply *reply, uint32_t *id, struct err *err)
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

/* *unknown, if not NULL: the registry has no such subject, or not this schema under it. */
static bool post_schema(struct registry_client *client, const char *path, const char *post,
			uint32_t *id, bool *unknown, struct err *err)
{
	struct registry_reply reply = {0};
	if (!registry_client_ask(client, path, post, &reply, err))
		return false;
	bool missing = reply.status == 404 && (reply.code == REGISTRY_CODE_NO_SUBJECT ||
					       reply.code == REGISTRY_CODE_NO_SCHEMA);
	if (unknown)
		*unknown = missing;
	bool ok = (unknown && missing) || read_id(&reply, id, err);
	json_decref(reply.json);
	return ok;
}

/* "/subjects/S" looks for the schema, "/subjects/S/versions" registers it. */
static bool find_or_register(struct registry_client *client, const char *subject, const char *post,
			     bool *is_new, uint32_t *id, struct err *err)
{
	char *escaped = http_escape(subject), *path = xasprintf("/subjects/%s", escaped);
	char *versions = xasprintf("/subjects/%s/versions", escaped);
	bool unknown = false;
	bool ok = post_schema(client, path, post, id, &unknown, err);
	if (ok && unknown && is_new)
		*is_new = ok = post_schema(client, versions, post, id, NULL, err);
	else if (ok && unknown)
		ok = err_set(err, ERR_CONFIG,
			     "the schema registry does not have this schema: register it, or leave "
			     "out --no-register");
	free(versions);
	free(path);
	free(escaped);
	return ok;
}

bool registry_find(const struct config *config, const char *subject, const char *schema_json,
		   bool *is_new, uint32_t *id, struct err *err)
{
	struct registry_client *client = registry_client_new(config);
	json_t *body = json_pack("{s:s}", "schema", schema_json);
	char *post = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	bool ok = post != NULL ? find_or_register(client, subject, post, is_new, id, err)
			       : err_set(err, ERR_CONFIG, "the schema is not UTF-8");
	if (!ok)
		err_wrap(err, "subject \"%s\"", subject);
	free(post);
	json_decref(body);
	registry_client_free(client);
	return ok;
}

const char *registry_library_version(void)
{
	return http_client_version();
}
