/* tokens.h - who may write into which stream, and how much: the lines of gateway.token_file. */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct tokens;

enum { TOKEN_NAME = 64 };

enum tokens_verdict {
	TOKENS_MAY,
	TOKENS_UNKNOWN,   /* no token, or none of the file */
	TOKENS_FORBIDDEN, /* not into this stream */
};

/*
 * path NULL: everybody may write, under the name "". known is asked whether there is such a stream.
 * NULL with class CONFIG (a line is wrong: file and line) or RETRY (it can not be read).
 */
struct tokens *tokens_open(const char *path, bool (*known)(void *ctx, const char *stream),
			   void *ctx, struct err *err);
void tokens_free(struct tokens *t); /* NULL is fine */

/* Reads the file again if it has changed. False: it is wrong now, and what was known counts on. */
bool tokens_refresh(struct tokens *t, struct err *err);

/* authorization: the header, or NULL. name receives whose token it is. Any thread, as all below. */
enum tokens_verdict tokens_check(struct tokens *t, const char *authorization, const char *stream,
				 char name[static TOKEN_NAME]);
/*
 * Takes n events from the rate of that name. 0: they may come; else in how many seconds to ask
 * again. n 0: only asks.
 */
unsigned tokens_spend(struct tokens *t, const char *name, size_t n);
