/*
 * embed_answer.h - an answer of /v1/embeddings as vectors, or why it is none. Pure; for
 * embed_call.c and tests.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

struct embed_answer {
	size_t n;     /* texts that were sent */
	uint32_t dim; /* wanted; 0: whatever comes, but the same for all */
	/* Result. */
	struct buf *vectors; /* appended: n * dim big-endian float4, in the texts' order */
	int64_t tokens;      /* 0: it does not say */
	bool other_dim;      /* all have one dimension, and it is not the wanted one */
	long status;         /* of an error within an answer of status 200; 0: it has none */
};

/*
 * Text is parsed in place; text[len] and 8 bytes behind it are 0. False with the reason: nothing is
 * appended then. Every text has one vector, by "index", or by its place if none has an index;
 * finite, and longer than 0.
 */
MUST_CHECK bool embed_answer_read(struct embed_answer *a, char *text, size_t len, struct err *err);

/* To length 1: big-endian float4 that have passed embed_answer_read(). */
void embed_normalize(uint8_t *be, size_t dim);

/* What an error says, in the server's words; a short text if it is no JSON. Control characters
 * become blanks. */
void embed_answer_words(char *text, size_t len, char *out, size_t size);
