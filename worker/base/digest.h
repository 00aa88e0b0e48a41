/* digest.h - SHA-256 of several pieces: what stands for a text that nobody may find another for. */
#pragma once

#include "base/base.h"

#define DIGEST_SIZE 32u

struct slice;

/* Each piece counts with its length, so that "a", "bc" and "ab", "c" differ. */
void digest_pieces(const struct slice *pieces, size_t n, uint8_t out[DIGEST_SIZE]);
