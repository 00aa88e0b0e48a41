/*
 * troubles.h - the last warnings and errors that the process logged, for /status.
 */
#ifndef MEMINGEST_TROUBLES_H
#define MEMINGEST_TROUBLES_H

#include "base/base.h"

#define TROUBLES_MAX 20

struct trouble {
	int64_t first_us, last_us; /* wall clock */
	uint64_t times;            /* how often in a row, or nearly so; those that the log held back are not counted */
	bool error;                /* else a warning */
	const char *msg;           /* as people grep for it; a literal */
	char text[512];            /* the error that the message carries, of the last time; may be empty */
	char topic[256], stream[64];
	int64_t partition, offset, lane; /* -1: not of one */
};

void troubles_begin(void); /* listens to the log; what was kept before is forgotten */
void troubles_end(void);

/* Newest first; returns how many. Any thread. */
size_t troubles_copy(struct trouble out[TROUBLES_MAX]);

#endif
