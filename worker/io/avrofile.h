/*
 * avrofile.h - the records of an Avro container file, one after another, as JSON text.
 */
#ifndef MEMINGEST_AVROFILE_H
#define MEMINGEST_AVROFILE_H

#include "base/base.h"
#include "base/err.h"

struct avrofile;

enum avrofile_result {
	AVROFILE_RECORD,
	AVROFILE_END,
	AVROFILE_BAD, /* err says what; nothing after it can be read */
};

/* True if the file begins as a container file does. */
bool avrofile_is(const char *path);

/* NULL with class CONFIG when the file cannot be read or is none. */
struct avrofile *avrofile_open(const char *path, struct err *err);
void avrofile_close(struct avrofile *f); /* NULL is fine */

/*
 * text: Avro's JSON encoding, the caller frees it. NULL with AVROFILE_RECORD: a value that JSON
 * does not have (NaN, infinity).
 */
enum avrofile_result avrofile_next(struct avrofile *f, char **text, struct err *err);

#endif
