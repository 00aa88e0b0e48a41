/*
 * floats.h - many floats at once: from Avro's byte order to PostgreSQL's, and whether any is NaN or
 * infinite.
 */
#pragma once

#include "base/base.h"

/* n floats from little-endian to big-endian, without overlap. False: one is NaN or infinite. */
MUST_CHECK bool floats_swap(uint8_t *be, const uint8_t *le, size_t n);

/* Whether n little-endian floats are all finite. */
bool floats_finite(const uint8_t *le, size_t n);
