/* sha256.h - SHA-256 (FIPS 180-4), which PostgreSQL has as sha256(bytea). */
#pragma once

#include "base/base.h"

#define SHA256_BYTES 32

void sha256(struct slice text, uint8_t digest[SHA256_BYTES]);
