/*
 * schema_id.h - how a message says which schema wrote it: a number of a registry's, a GUID, a
 * fingerprint. A value, compared and hashed as it stands.
 */
#pragma once

#include "base/base.h"

enum schema_id_kind {
	SCHEMA_ID_NONE,        /* it does not: the stream's own schema */
	SCHEMA_ID_NUMBER,      /* of a Confluent registry */
	SCHEMA_ID_GUID,        /* of a Confluent registry, from 8.0 on */
	SCHEMA_ID_FINGERPRINT, /* CRC-64-AVRO */
	/* Of Apicurio's own serializers; which id is which only the producer's settings tell. */
	SCHEMA_ID_APICURIO,         /* 8 bytes in the envelope */
	SCHEMA_ID_APICURIO_GLOBAL,  /* in a header, as the following */
	SCHEMA_ID_APICURIO_CONTENT, /* */
	SCHEMA_ID_APICURIO_NAME,    /* group, artifact and version: no id at all */
};

struct schema_id {
	uint64_t kind;   /* enum schema_id_kind; wide, as there must be no padding */
	uint64_t number; /* id, fingerprint, or the first half of a GUID */
	uint64_t low;    /* the second half */
};

/* Byte for byte, as they are hashed. */
static inline bool schema_id_equal(const struct schema_id *a, const struct schema_id *b)
{
	return a->number == b->number && a->kind == b->kind && a->low == b->low;
}

enum { SCHEMA_ID_TEXT = 48 };

/* "id 7", "GUID 89791762-...", "fingerprint 0123456789abcdef". Fills buf and returns it. */
const char *schema_id_text(const struct schema_id *id, char buf[static SCHEMA_ID_TEXT]);

/* "89791762-2336-4186-9674-299b90a802e2". Fills buf. */
void schema_id_guid(const struct schema_id *id, char buf[static SCHEMA_ID_TEXT]);
