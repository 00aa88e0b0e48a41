/*
 * fuzz_frame.c - any bytes as a message in each of the wire formats, and as a header: the body is a
 * tail of the message, or there is an error.
 */

#include "fuzz.h"
#include "schema/frame.h"

/* Any bytes as the value of each header that names a schema. */
static void fuzz_headers(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"__value_schema_id", "apicurio.value.globalId",
					    "apicurio.value.encoding", "apicurio.value."};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct schema_id id = {0};
		struct err err = {0};
		char text[SCHEMA_ID_TEXT];
		if (!frame_header(names[i], (struct slice){data, size}, false, &id, &err))
			check_words(&err);
		(void)schema_id_text(&id, text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t header[] = {
		[FRAME_CONFLUENT] = 5, [FRAME_SINGLE_OBJECT] = 10, [FRAME_RAW] = 0};
	for (int format = FRAME_CONFLUENT; format <= FRAME_RAW; format++) {
		struct frame f = {0};
		struct err err = {0};
		if (frame_split((enum frame_format)format, (struct slice){data, size}, &f, &err)) {
			size_t n = f.id.kind == SCHEMA_ID_APICURIO ? 9 : header[format];
			if (f.body.data != data + n || f.body.len != size - n)
				give_up("body", "is not the tail of the message");
		} else {
			check_words(&err);
		}
	}
	fuzz_headers(data, size);
	return 0;
}
