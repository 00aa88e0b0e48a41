/*
 * fuzz_frame.c - any bytes as a message in each of the wire formats: the body is a tail of the
 * message, or there is an error.
 */
#include <stdlib.h>

#include "schema/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t header[] = {
		[FRAME_CONFLUENT] = 5, [FRAME_SINGLE_OBJECT] = 10, [FRAME_RAW] = 0};
	for (int format = FRAME_CONFLUENT; format <= FRAME_RAW; format++) {
		struct frame f = {0};
		struct err err = {0};
		if (frame_split((enum frame_format)format, (struct slice){data, size}, &f, &err)) {
			if (f.body.data != data + header[format] ||
			    f.body.len != size - header[format])
				abort();
		} else if (err.class != ERR_POISON || err.text[0] == '\0') {
			abort();
		}
	}
	return 0;
}
