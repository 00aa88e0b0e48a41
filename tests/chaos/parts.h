/* parts.h - tests of the parts of a chaos run that need no server. */
#pragma once

#include <check.h>

void chaos_parts_add(TCase *tc); /* adds them */
