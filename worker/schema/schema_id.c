/*
 * schema_id.c - the names that messages, logs and files have for a schema's id.
 *
 * A fingerprint is written as the number in hexadecimal: the eight bytes of a message stand the
 * other way round. Pure.
 */
#include "schema/schema_id.h"

#include <inttypes.h>
#include <stdio.h>

void schema_id_guid(const struct schema_id *id, char buf[static SCHEMA_ID_TEXT])
{
	uint64_t a = id->number, b = id->low;
	snprintf(buf, SCHEMA_ID_TEXT, "%08x-%04x-%04x-%04x-%012" PRIx64, (unsigned)(a >> 32),
		 (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xffff), (unsigned)(b >> 48),
		 b & UINT64_C(0xffffffffffff));
}

const char *schema_id_text(const struct schema_id *id, char buf[static SCHEMA_ID_TEXT])
{
	static const char *const words[] = {
		[SCHEMA_ID_NONE] = "the stream's own",
		[SCHEMA_ID_NUMBER] = "id",
		[SCHEMA_ID_GUID] = "GUID",
		[SCHEMA_ID_FINGERPRINT] = "fingerprint",
		[SCHEMA_ID_APICURIO] = "8-byte id",
		[SCHEMA_ID_APICURIO_GLOBAL] = "globalId",
		[SCHEMA_ID_APICURIO_CONTENT] = "contentId",
		[SCHEMA_ID_APICURIO_NAME] = "artifact's name",
	};
	char guid[SCHEMA_ID_TEXT];
	const char *word = words[id->kind];
	switch ((enum schema_id_kind)id->kind) {
	case SCHEMA_ID_GUID:
		schema_id_guid(id, guid);
		snprintf(buf, SCHEMA_ID_TEXT, "%s %.36s", word, guid);
		break;
	case SCHEMA_ID_FINGERPRINT:
		snprintf(buf, SCHEMA_ID_TEXT, "%s %016" PRIx64, word, id->number);
		break;
	case SCHEMA_ID_NUMBER:
	case SCHEMA_ID_APICURIO:
	case SCHEMA_ID_APICURIO_GLOBAL:
	case SCHEMA_ID_APICURIO_CONTENT:
		snprintf(buf, SCHEMA_ID_TEXT, "%s %" PRIu64, word, id->number);
		break;
	case SCHEMA_ID_NONE:
	case SCHEMA_ID_APICURIO_NAME:
		snprintf(buf, SCHEMA_ID_TEXT, "%s", word);
		break;
	}
	return buf;
}
