/* digest.h - SHA-256: what stands for bytes that nobody may find others for. */
#pragma once

#include "base/base.h"

#define DIGEST_SIZE 32u

/* Of these bytes as they are: what PostgreSQL has as sha256(bytea). */
void digest_bytes(struct slice bytes, uint8_t out[DIGEST_SIZE]);
/* Whether they are the same; takes as long if they are not, so an answer tells nothing of a secret.
 */
bool digest_is(const uint8_t a[DIGEST_SIZE], const uint8_t b[DIGEST_SIZE]);
/* Each piece counts with its length, so that "a", "bc" and "ab", "c" differ. */
void digest_pieces(const struct slice *pieces, size_t n, uint8_t out[DIGEST_SIZE]);
