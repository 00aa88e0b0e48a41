/*
 * openapi.c - docs/openapi.yaml, from the tables that the gateway works by: routes, parameters
 * (gate/target.h), Content-Types, answers (gate/reply.h), limits (core/config_key.h). So what it
 * says and what is done can not part.
 *
 * Pure functions.
 */
#include "gate/openapi.h"

#include <string.h>

#include "core/config_key.h"
#include "gate/target.h"

static void put_quoted(struct buf *out, const char *text)
{
	parcel_json(out, text,
		    strlen(text)); /* a double-quoted scalar of YAML takes what JSON does */
}

static void put_limits(struct buf *out)
{
	static const char *const names[] = {"max_body", "max_events", "max_connections", "memory",
					    "timeout"};
	buf_puts(out, "    Limits, as they are if the configuration does not say otherwise:\n\n");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct config_key *key = config_key_find("gateway", names[i]);
		buf_printf(out, "    - `gateway.%s` %s: %s\n", key->name, key->fallback, key->help);
	}
}

static void put_parameter(struct buf *out, const struct parameter *p)
{
	bool path = strcmp(p->in, "path") == 0;
	buf_printf(out, "        - name: %s\n          in: %s\n", p->name, p->in);
	if (path)
		buf_puts(out, "          required: true\n");
	buf_puts(out, "          description: ");
	put_quoted(out, p->help);
	buf_puts(out, "\n          schema: {type: string");
	if (p->values)
		buf_printf(out, ", enum: [%s]", p->values);
	if (p->fallback)
		buf_printf(out, ", default: %s", p->fallback);
	buf_puts(out, "}\n");
}

static void put_body(struct buf *out)
{
	buf_puts(out, "      requestBody:\n        required: true\n        content:\n");
	for (size_t i = 0; i < TARGET_TYPES; i++)
		buf_printf(out, "          %s: {schema: {$ref: '#/components/schemas/%s'}}\n",
			   target_types[i].type,
			   target_types[i].format == DESK_JSON    ? "Events"
			   : target_types[i].format == DESK_LINES ? "Lines"
								  : "Container");
}

/* Several answers of one status are one response. */
static void put_responses(struct buf *out, const struct route *route)
{
	buf_puts(out, "      responses:\n");
	for (size_t i = 0; i < REPLY_COUNT; i++) {
		struct buf when = {0};
		if (i > 0 && replies[i].status == replies[i - 1].status)
			continue;
		for (size_t k = i; k < REPLY_COUNT && replies[k].status == replies[i].status; k++)
			if (!(route->never & (1u << k)))
				buf_printf(&when, "%s`%s`: %s", when.len ? " " : "",
					   replies[k].word, replies[k].when);
		if (when.len > 0) {
			buf_printf(out,
				   "        '%u':\n          description: ", replies[i].status);
			put_quoted(out, buf_cstr(&when));
			buf_puts(out, "\n          content: {application/json: {schema: {$ref: "
				      "'#/components/schemas/Answer'}}}\n");
		}
		buf_free(&when);
	}
}

static void put_route(struct buf *out, const struct route *r)
{
	buf_printf(out, "  %s:\n    %s:\n      summary: %s\n      parameters:\n", r->path,
		   r->operation == OPERATION_POST ? "post" : "delete", r->summary);
	for (size_t i = 0; i < PARAMETERS; i++)
		if (parameters[i].operations & (1u << r->operation))
			put_parameter(out, &parameters[i]);
	if (r->operation == OPERATION_POST)
		put_body(out);
	put_responses(out, r);
}

static void put_schemas(struct buf *out)
{
	buf_puts(out,
		 "components:\n"
		 "  securitySchemes: {token: {type: http, scheme: bearer}}\n"
		 "  schemas:\n"
		 "    Event: {type: object, description: 'An event as the schema of the stream has "
		 "it; docs/SCHEMAS.md says how its values are written in JSON.'}\n"
		 "    Events: {oneOf: [{$ref: '#/components/schemas/Event'}, {type: array, items: "
		 "{$ref: '#/components/schemas/Event'}}]}\n"
		 "    Lines: {type: string, description: 'An event as JSON on each line.'}\n"
		 "    Container: {type: string, format: binary, description: 'An Avro container "
		 "file.'}\n"
		 "    Answer:\n"
		 "      type: object\n"
		 "      required: [result]\n"
		 "      properties:\n"
		 "        result: {type: string, enum: [");
	for (size_t i = 0; i < REPLY_COUNT; i++)
		buf_printf(out, "%s%s", i ? ", " : "", replies[i].word);
	buf_puts(out,
		 "]}\n"
		 "        message: {type: string, description: 'For people.'}\n"
		 "        topic: {type: string}\n"
		 "        events:\n"
		 "          type: array\n"
		 "          description: 'What was sent, in the order of the request.'\n"
		 "          items:\n"
		 "            type: object\n"
		 "            required: [index]\n"
		 "            properties:\n"
		 "              index: {type: integer, description: 'In the request, from 0.'}\n"
		 "              partition: {type: integer}\n"
		 "              offset: {type: integer}\n"
		 "              state: {type: string, enum: [lost, unsure], description: 'In place "
		 "of partition and offset: it is not in Kafka, or that is not known.'}\n"
		 "        errors:\n"
		 "          type: array\n"
		 "          items:\n"
		 "            type: object\n"
		 "            required: [index, message]\n"
		 "            properties:\n"
		 "              index: {type: integer}\n"
		 "              field: {type: string}\n"
		 "              message: {type: string}\n");
}

void openapi_write(struct buf *out)
{
	buf_puts(out,
		 "# Generated by `memingest gateway --openapi`; do not edit.\n"
		 "openapi: 3.0.3\n"
		 "info:\n"
		 "  title: memingest gateway\n"
		 "  version: v1\n"
		 "  description: |\n"
		 "    Events into the topics of memingest's streams. docs/GATEWAY.md has more.\n"
		 "\n");
	put_limits(out);
	buf_puts(out, "security: [{token: []}]\npaths:\n");
	for (size_t i = 0; i < ROUTES; i++)
		put_route(out, &routes[i]);
	put_schemas(out);
}
