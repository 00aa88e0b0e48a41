/*
 * frame.c - taking the envelope off a message.
 *
 * Purpose: find the writer's schema (by registry id, GUID or fingerprint) and where the datum
 * begins. It does not know whether that schema exists: the caller looks it up, and an unknown one
 * is another reason (REASON_SCHEMA) than a broken envelope (REASON_FRAME).
 *
 * An empty body is valid: a record whose fields are all null has no bytes. An envelope says nothing
 * about the length of the datum, so nothing more can be checked here.
 *
 * Headers. A serializer that puts the id into a header leaves the value bare, so that its first
 * bytes would be taken for an envelope. The headers, public with their serializers:
 *
 *   __value_schema_id          01 and the GUID's 16 bytes, or 00 and an id's 4   (Confluent)
 *   apicurio.value.globalId    8 bytes big-endian                                (Apicurio)
 *   apicurio.value.contentId   the same
 *   apicurio.value.artifactId  text; with groupId, version or contentHash
 *   apicurio.value.encoding    BINARY or JSON
 *
 * and for keys with "key" in place of "value". Confluent's comes first; of two of one name the last
 * counts, as for their own deserializers.
 *
 * No id of a registry's is 0, so four bytes of it are the upper half of a longer one.
 *
 * The usual cause of a wrong envelope is a stream configured with another format than its producer
 * writes, so the error names the format that the bytes look like. No state, no allocation, any
 * thread.
 */
#include "schema/frame.h"

#include <string.h>

#include "base/buf.h"

enum {
	CONFLUENT_HEADER = 1 + 4,
	APICURIO_HEADER = 1 + 8,
	SINGLE_OBJECT_HEADER = 2 + 8,
	GUID_HEADER = 1 + 16,
};

/* The two bytes of the marker; enough to name the likely mistake. */
static bool is_single_object(struct slice m)
{
	return m.len >= SINGLE_OBJECT_HEADER && m.data[0] == 0xc3 && m.data[1] == 0x01;
}

static struct slice skip(struct slice m, size_t n)
{
	return (struct slice){m.data + n, m.len - n};
}

/* An id of 0 is none of Confluent's, so it is Apicurio's 8 bytes. */
static bool split_confluent(struct slice m, struct frame *frame, struct err *err)
{
	if (m.len < CONFLUENT_HEADER)
		return err_set(err, ERR_POISON, "confluent envelope: %zu bytes, at least %d wanted",
			       m.len, CONFLUENT_HEADER);
	if (m.data[0] != 0)
		return err_set(err, ERR_POISON,
			       "confluent envelope: first byte is %02x, 00 wanted%s", m.data[0],
			       is_single_object(m) ? " (this looks like format single-object)"
						   : "");
	uint32_t id = get_be32(m.data + 1);
	if (id == 0 && m.len >= APICURIO_HEADER) {
		frame->id = (struct schema_id){.kind = SCHEMA_ID_APICURIO,
					       .number = get_be64(m.data + 1)};
		frame->body = skip(m, APICURIO_HEADER);
	} else {
		frame->id = (struct schema_id){.kind = SCHEMA_ID_NUMBER, .number = id};
		frame->body = skip(m, CONFLUENT_HEADER);
	}
	return true;
}

/* The fingerprint is little-endian there, unlike the registries' ids. */
static bool split_single_object(struct slice m, struct frame *frame, struct err *err)
{
	if (m.len < SINGLE_OBJECT_HEADER)
		return err_set(err, ERR_POISON,
			       "single-object envelope: %zu bytes, at least %d wanted", m.len,
			       SINGLE_OBJECT_HEADER);
	if (!is_single_object(m))
		return err_set(err, ERR_POISON,
			       "single-object envelope: first bytes are %02x %02x, c3 01 wanted%s",
			       m.data[0], m.data[1],
			       m.data[0] == 0 ? " (this looks like format confluent)" : "");
	frame->id =
		(struct schema_id){.kind = SCHEMA_ID_FINGERPRINT, .number = get_le64(m.data + 2)};
	frame->body = skip(m, SINGLE_OBJECT_HEADER);
	return true;
}

bool frame_split(enum frame_format format, struct slice message, struct frame *frame,
		 struct err *err)
{
	switch (format) {
	case FRAME_CONFLUENT:
		return split_confluent(message, frame, err);
	case FRAME_SINGLE_OBJECT:
		return split_single_object(message, frame, err);
	case FRAME_RAW:
		*frame = (struct frame){.body = message};
		return true;
	}
	return err_set(err, ERR_FATAL, "no such wire format: %d", (int)format);
}

/* --- headers --- */

/* The first byte says which of the two forms it is. */
static bool confluent_id(const char *name, struct slice v, struct schema_id *id, struct err *err)
{
	if (v.len >= GUID_HEADER && v.data[0] == 1)
		*id = (struct schema_id){.kind = SCHEMA_ID_GUID,
					 .number = get_be64(v.data + 1),
					 .low = get_be64(v.data + 9)};
	else if (v.len >= CONFLUENT_HEADER && v.data[0] == 0)
		*id = (struct schema_id){.kind = SCHEMA_ID_NUMBER, .number = get_be32(v.data + 1)};
	else
		return err_set(err, ERR_POISON,
			       "header %s: %zu bytes that are neither 01 and a GUID nor 00 and an "
			       "id",
			       name, v.len);
	return true;
}

/* kind: which of Apicurio's ids the header's name says it is. */
static bool apicurio_id(const char *name, struct slice v, enum schema_id_kind kind,
			struct schema_id *id, struct err *err)
{
	if (v.len != 8)
		return err_set(err, ERR_POISON, "header %s: %zu bytes, 8 wanted", name, v.len);
	*id = (struct schema_id){.kind = kind, .number = get_be64(v.data)};
	return true;
}

/* last: what stands behind "apicurio.value." or "apicurio.key.". */
static bool apicurio_header(const char *name, const char *last, struct slice v,
			    struct schema_id *id, struct err *err)
{
	bool confluent = id->kind == SCHEMA_ID_GUID || id->kind == SCHEMA_ID_NUMBER;
	if (strcmp(last, "encoding") == 0 && v.len == 4 && memcmp(v.data, "JSON", 4) == 0)
		return err_set(
			err, ERR_POISON,
			"header %s: the datum is JSON, and only binary Avro can be read: set "
			"apicurio.registry.avro.encoding to BINARY at the producer",
			name);
	if (confluent)
		return true;
	if (strcmp(last, "globalId") == 0)
		return apicurio_id(name, v, SCHEMA_ID_APICURIO_GLOBAL, id, err);
	if (strcmp(last, "contentId") == 0)
		return apicurio_id(name, v, SCHEMA_ID_APICURIO_CONTENT, id, err);
	if (id->kind == SCHEMA_ID_NONE &&
	    (strcmp(last, "artifactId") == 0 || strcmp(last, "contentHash") == 0))
		id->kind = SCHEMA_ID_APICURIO_NAME;
	return true;
}

/* A null value says nothing. */
bool frame_header(const char *name, struct slice value, bool key, struct schema_id *id,
		  struct err *err)
{
	const char *confluent = key ? "__key_schema_id" : "__value_schema_id",
		   *apicurio = key ? "apicurio.key." : "apicurio.value.";
	size_t n = strlen(apicurio);
	if (!value.data)
		return true;
	if (strcmp(name, confluent) == 0)
		return confluent_id(name, value, id, err);
	return strncmp(name, apicurio, n) != 0 || apicurio_header(name, name + n, value, id, err);
}
