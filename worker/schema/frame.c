/*
 * frame.c - taking the envelope off a message.
 *
 * Purpose: find the writer's schema (by registry id or by fingerprint) and where the datum begins.
 * It does not know whether that schema exists: the caller looks it up, and an unknown one is
 * another reason (REASON_SCHEMA) than a broken envelope (REASON_FRAME).
 *
 * An empty body is valid: a record whose fields are all null has no bytes. An envelope says nothing
 * about the length of the datum, so nothing more can be checked here.
 *
 * The usual cause of a wrong envelope is a stream configured with another format than its producer
 * writes, so the error names the format that the bytes look like. No state, no allocation, any
 * thread.
 */
#include "schema/frame.h"
#include "base/buf.h"

enum { CONFLUENT_HEADER = 1 + 4, SINGLE_OBJECT_HEADER = 2 + 8 };

static bool is_single_object(struct slice m)
{
	return m.len >= SINGLE_OBJECT_HEADER && m.data[0] == 0xc3 && m.data[1] == 0x01;
}

static struct slice skip(struct slice m, size_t n)
{
	return (struct slice){m.data + n, m.len - n};
}

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
	frame->schema = get_be32(m.data + 1);
	frame->body = skip(m, CONFLUENT_HEADER);
	return true;
}

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
	frame->schema = get_le64(m.data + 2);
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
