/* troubles.h - the last warnings and errors that the process logged, for /status. */
#pragma once

#include "base/base.h"

#define TROUBLES_MAX 20

struct trouble {
	int64_t first_us, last_us; /* wall clock */
	/* how often in a row, or nearly so; those that the log held back are not counted */
	uint64_t times;
	bool error;      /* else a warning */
	const char *msg; /* as people grep for it; a literal */
	/* the error that the message carries, of the last time; may be empty */
	char text[512];
	char topic[256], stream[64];
	int64_t partition, offset, lane; /* -1: not of one */
};

void troubles_begin(void); /* listens to the log; what was kept before is forgotten */
void troubles_end(void);

/* Newest first; returns how many. Any thread. */
size_t troubles_copy(struct trouble out[TROUBLES_MAX]);
